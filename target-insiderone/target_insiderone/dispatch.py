"""What both kinds of delivery have in common: sending users, keeping rejects, settling records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from target_insiderone.items import upsert_body
from target_insiderone.rejects import reject_of, reject_of_events
from target_insiderone.remedies import REMEDIES
from target_insiderone.sending import Evidence, Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from target_insiderone.accounting import Outcome, Tally
    from target_insiderone.answers import Outcome as Answer
    from target_insiderone.answers import Refusal
    from target_insiderone.checkpoints import Checkpoints
    from target_insiderone.client import InsiderOneClient
    from target_insiderone.dry_run import DryRunClient
    from target_insiderone.items import Source
    from target_insiderone.ledger import Ledger
    from target_insiderone.progress import Progress
    from target_insiderone.rejects import RejectedEvent, RejectsFile
    from target_insiderone.sending import Answered, Sending


Kind = Literal["upsert", "upsert with skip_hook", "attribute/delete"]
"""What the API may accept or refuse as such, whatever the rows."""

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """What delivery needs of the settings."""

    skip_hook: bool
    skip_unchanged: bool
    error_callback_endpoint: str | None
    batch_size_bytes: int


@dataclass(slots=True)
class SharedParts:
    """What all lanes share; each of them is safe to use from several threads. *ledger* is None when switched off.

    *content_of*: by which digest the ledger knows bytes of an event. *evidence*: what has been learned of upserts, of
    those with ``skip_hook``, and of attribute/delete.
    """

    client: InsiderOneClient | DryRunClient
    ledger: Ledger | None
    rejects: RejectsFile
    checkpoints: Checkpoints
    settings: DeliverySettings
    progress: Progress
    content_of: Callable[[bytes], bytes]
    evidence: Mapping[Kind, Evidence] = field(default_factory=lambda: {kind: Evidence() for kind in KINDS})


class Dispatch:
    """The base of both deliveries; counts into *tally*, which belongs to one lane."""

    def __init__(self, shared: SharedParts, tally: Tally) -> None:
        self.shared = shared
        self.tally = tally
        self._upserts = Sender(tally.requests, "upsert", shared.settings.batch_size_bytes)

    def upsert(
        self,
        users: Sequence[bytes],
        answered: Answered,
        *,
        skip_hook: bool,
        before_retry: Callable[[], None] = lambda: None,
    ) -> Sending:
        """Send users; *answered* and the verdicts are as in :meth:`Sender.send`."""

        def body_of(some: Sequence[bytes]) -> bytes:
            callback = self.shared.settings.error_callback_endpoint
            return upsert_body(some, skip_hook=skip_hook, error_callback=callback)

        def post(body: bytes, count: int, *, hurried: bool) -> tuple[Answer, int]:
            return self.shared.client.upsert(body, count, before_retry, hurried=hurried)

        evidence = self.shared.evidence["upsert with skip_hook" if skip_hook else "upsert"]
        return self._upserts.send(users, body_of, post, answered, evidence, before_retry)

    def reject(self, source: Source, refusal: Refusal) -> None:
        """Keep a refused record with the reason."""
        why = refusal.code, refusal.field, REMEDIES[refusal.code]
        self.shared.rejects.add(reject_of(source, *why, answer=refusal.text or None))

    def reject_events(self, source: Source, events: Sequence[RejectedEvent]) -> None:
        """Keep a record with those of its events that were rejected or refused."""
        self.shared.rejects.add(reject_of_events(source, events))
        for event in events:
            self.tally.event(source.stream, "rejected", event.code)

    def settle(self, settled: Sequence[tuple[Source, Outcome, str]]) -> None:
        """Count the outcomes, then let the STATEs pass that waited for them (rejects are on the disk before)."""
        self.tally.records.update([(source.stream, outcome, reason) for source, outcome, reason in settled])
        self.tally.settled.update([source.stream for source, _, _ in settled])
        reached = self.shared.progress.reached
        for source, outcome, reason in settled:
            if source.stream not in reached:
                self.shared.progress.note(source.stream, outcome, reason)
            if source.arrival.settled is not None:
                source.arrival.settled(outcome, reason)
        self.shared.checkpoints.settle([source.segment for source, _, _ in settled])
