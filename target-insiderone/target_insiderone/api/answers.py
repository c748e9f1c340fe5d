"""What an answer of Insider One says of each user that was sent.

Source: Upsert User Data, and the captured answers of the "Insider One APIs" collection (https://developers.insiderone.com/).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class AnswerMismatchError(Exception):
    """An answer whose counts do not add up to what was sent: what became of the rows is not known."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One objection of Insider One to one user.

    *code* is ours, *event* the event's position in the user (if one is named), *field* the place that the answer names
    (``identifiers.*``), *text* the API's words, which may quote the record: for the rejects file alone.
    """

    code: str
    event: int | None = None
    field: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What Insider One did with one request.

    *refused*: position of the user in the request -> the objections. ``accepted + len(refused)`` is what was sent.
    *doubtful*: an earlier attempt died without an answer, so that it may have been applied, too.
    """

    accepted: int
    refused: Mapping[int, Sequence[Refusal]]
    doubtful: bool = False


def outcome_of(answer: Any, sent: int, *, empty_is_success: bool = False) -> Outcome:
    """Read the answer to an upsert, which has status 200 even when users are refused.

    Shape: ``{"data": {"successful": {"count": 1}, "fail": {"count": 1, "errors": {"users.0.<path>": ["<why>"]}}}}``,
    where ``successful`` or ``fail`` may be empty. attribute/delete may answer ``{}`` for success (*empty_is_success*).

    Raises:
        AnswerMismatchError: The counts do not add up to *sent*, or the refused users are not those that are named.
    """
    if empty_is_success and answer == {}:
        return Outcome(sent, {})
    try:
        accepted = _count(answer["data"]["successful"])
        fail = answer["data"]["fail"]
        failed = _count(fail)
        refused = _refusals(fail.get("errors", {}))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AnswerMismatchError(f"the answer to {sent} users has an unknown shape ({type(error).__name__})") from None
    if accepted + failed != sent or len(refused) != failed or any(place >= sent for place in refused):
        raise AnswerMismatchError(
            f"of {sent} users, Insider One counts {accepted} accepted and {failed} refused, and names {len(refused)}"
        )
    return Outcome(accepted, refused)


_PLACE = re.compile(r"^users\.(\d+)(?:\.events\.(\d+))?(?:\.|$)")

_CODES = (
    (".events.", "event_params", "missing_event_parameter"),
    (".events.", "event_name", "invalid_event_name"),
    ("identifiers", "regexp(^.+@", "invalid_email"),
    ("identifiers", "regexp(^\\+", "invalid_phone_number"),
    ("identifiers", "type(string)", "invalid_uuid"),
    ("identifiers", "in(defaults_column)", "unknown_identifier"),
    ("identifiers", "required", "no_identifier"),
    ("insider_id", "required", "no_identifier"),
)
"""Two parts of an error's path -> our code for it."""


def _count(part: Mapping[str, Any]) -> int:
    """How many users a part of the answer counts; a fraction counts nobody, and is not rounded to a success."""
    count = part.get("count", 0)
    if isinstance(count, float) and not count.is_integer():
        raise ValueError("a count that is no whole number")
    return int(count)


def _refusals(errors: Mapping[str, Sequence[str]]) -> dict[int, list[Refusal]]:
    """Position of the user -> objections, at least one; paths look like ``users.3.events.0.event_name.*.regexp(…)``."""
    refused: dict[int, list[Refusal]] = {}
    for path, texts in errors.items():
        place = _PLACE.match(path)
        if place is None:
            raise ValueError("a path that names no user")
        code = next((code for one, other, code in _CODES if one in path and other in path), "refused")
        event = int(place[2]) if place[2] is not None else None
        field = path[place.end() :].partition(".regexp(")[0]
        refused.setdefault(int(place[1]), []).extend(Refusal(code, event, field, str(text)) for text in texts or ("",))
    return refused
