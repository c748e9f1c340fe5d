"""Reads Insider One's answers: one result for each user that was sent.

Source: Upsert User Data, and the captured answers of the "Insider One APIs" collection (https://developers.insiderone.com/).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec
from singer_delivery.destination import (
    Again,
    Answer,
    AnswerMismatchError,
    Refusal,
    RowRefusedError,
    StopSendingError,
    UnclearRefusalError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from singer_delivery.destination import Response

NAME = "Insider One"

MOST_TEXT = 1_000
"""How many characters of an undocumented answer, often an HTML page, are kept with a reject."""

PARTNER_UNKNOWN = f"{NAME} does not know `partner_name`; use the lower-case name of the account"

_REQUEST_LEVEL_400 = {
    "users must be defined": "the request carried no users; please report this",
    "content type must be": "the content type was refused; a proxy between here and Insider One may change it",
    "bigger than maximum": "the body was too large; lower `batch_size_bytes`",
    "records were sent": "the request held too many users; lower `batch_size_rows`",
    "partner is invalid": PARTNER_UNKNOWN,
    "not in valid json": "the body was not accepted as JSON; a proxy between here and Insider One may change it",
}
"""Words of a 400 that concerns the whole request -> what to do about it."""

_ADVICE = {
    403: "access denied; check `partner_name`, that `api_key` is a UCD key, and the account's IP allow-list",
    413: "the body was too large for Insider One, or for a proxy; lower `batch_size_bytes`",
}
"""Status that concerns the whole request -> what to do about it."""


def read_upsert(response: Response, sent: int) -> Answer:
    """Read the answer to an upsert of *sent* users.

    Raises:
        RowRefusedError: A 400 that may concern one of them.
        UnclearRefusalError: Another error status, which may concern one of them, too.
        StopSendingError: The request itself is refused.
        Again: The answer is not JSON.
        AnswerMismatchError: Its counts do not add up to *sent*.
    """
    return answer_of(_document(response), sent)


def read_deletion(response: Response, sent: int) -> Answer:
    """Read the answer to an attribute/delete request; raises as `read_upsert`."""
    return answer_of(_document(response), sent, empty_is_success=True)


def _document(response: Response) -> Any:
    if response.status != 200:
        refuse(response.status, response.content.decode("utf-8", "replace"))
    try:
        return msgspec.json.decode(response.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Again("status 200 with a body that is not JSON", may_have_applied=True, may_be_a_row=True) from None


def refuse(status: int, text: str) -> NoReturn:
    """Raise the matching error for an answer that is neither a success nor worth a retry.

    Raises:
        StopSendingError: It concerns the request.
        RowRefusedError: A 400 that may concern a row.
        UnclearRefusalError: Another error status; a firewall, for example, may block a row.
    """
    if status == 401:
        raise StopSendingError(
            NAME, status, "the key was rejected; is `api_key` a current UCD (Unified Customer Database) key?"
        )
    if status == 400:
        for words, advice in _REQUEST_LEVEL_400.items():
            if words in text.lower():
                raise StopSendingError(NAME, status, advice)
        raise RowRefusedError(text)
    advice = _ADVICE.get(status, "this status is not documented for the endpoint; check `api_url` and any proxy")
    why = StopSendingError(NAME, status, advice)
    if status < 400 or status == 511:
        raise why
    raise UnclearRefusalError(why, f"status {status}: {text[:MOST_TEXT]}", sent=False)


def answer_of(answer: Any, sent: int, *, empty_is_success: bool = False) -> Answer:
    """Read the answer to an upsert, which has status 200 even when users are refused.

    Shape: ``{"data": {"successful": {"count": 1}, "fail": {"count": 1, "errors": {"users.0.<path>": ["<why>"]}}}}``,
    where ``successful`` or ``fail`` may be empty. attribute/delete may answer ``{}`` for success (*empty_is_success*).

    Raises:
        AnswerMismatchError: The counts do not add up to *sent*, or do not match the refused users that are named.
    """
    if empty_is_success and answer == {}:
        return Answer({})
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
    return Answer(refused)


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
"""Two substrings of an error's path, and our reason code for it."""


def _count(part: Mapping[str, Any]) -> int:
    """The number of users in a part of the answer; a fraction is an error, and is not rounded to a success."""
    count = part.get("count", 0)
    if isinstance(count, float) and not count.is_integer():
        raise ValueError("a count that is not a whole number")
    return int(count)


def _refusals(errors: Mapping[str, Sequence[str]]) -> dict[int, list[Refusal]]:
    """Position of the user -> refusals, at least one; paths look like ``users.3.events.0.event_name.*.regexp(…)``."""
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
