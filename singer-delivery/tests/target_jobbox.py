"""target-jobbox: as target-toybox, for an API that works on orders later, and names refused rows page by page."""

from functools import cached_property

import target_toybox as toybox
from singer_delivery import destination as seam
from singer_delivery.commands.cli import run_target
from singer_delivery.exact_json import decode


class Orders(toybox.Orders):
    """A job looks like ``{"done": true, "refused": {"3": "no such street"}, "next": "/jobs/1?page=2"}``.

    Or like ``{"done": true, "failed": "a row cannot be stored"}``.
    """

    def read(self, response, sent):
        """Take the job's id."""
        if response.status == 200:
            return seam.Job(decode(response.content)["job"])
        return super().read(response, sent)

    def follow(self, job, answers, sent):  # noqa: ARG002  (positions need no count)
        """Ask until it is done, then page after page."""
        if any(answer.status == 404 for answer in answers):
            raise seam.JobLostError
        pages = [decode(answer.content) for answer in answers]
        if not pages or not pages[-1]["done"]:
            return seam.Request("job", f"/jobs/{job.id}", b"", "GET")
        if pages[-1].get("failed"):
            raise seam.RowRefusedError(pages[-1]["failed"])
        if pages[-1]["next"]:
            return seam.Request("job", pages[-1]["next"], b"", "GET")
        refused = {int(place): why for page in pages for place, why in page["refused"].items()}
        return seam.Answer({place: [seam.Refusal("refused", text=why)] for place, why in refused.items()})


class Jobbox(toybox.Toybox):
    """People go at once, orders as jobs."""

    @cached_property
    def kinds(self):
        """Both."""
        limits = seam.Limits(self._settings.batch_size_rows, self._settings.batch_size_bytes)
        return {"person": toybox.People(limits), "order": Orders(limits)}


class TargetJobbox(toybox.TargetToybox):
    """The target."""

    name = "target-jobbox"
    destination = Jobbox


if __name__ == "__main__":
    run_target(TargetJobbox)
