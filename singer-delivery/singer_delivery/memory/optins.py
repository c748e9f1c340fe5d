"""Decides which opt-ins of a profile are sent, and what the ledger remembers of them (CO-05, CO-06).

The ledger keeps a token for each opt-in: ``true SUBSCRIBED 2026-…``, the value delivered last and the consent it came
from; ``withheld true …``, a value that was not sent because earlier deliveries are unknown; ``? 2026-… false …``, a
value sent from a version read at that time, with an unknown outcome.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from singer_delivery.mapping.dates import SECONDS_LENGTH
from singer_delivery.memory.read_times import UNDATED, in_utc, is_near, latest_credible

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Optins = Mapping[str, tuple[Any, str]]

WITHHELD = "withheld "
DOUBT = "? "

NEVER_SUBSCRIBED = "NEVER_SUBSCRIBED"
"""Consent of a person who has not decided yet."""


class OptinChoice(NamedTuple):
    """*sent*: attribute -> opt-in. *noted*: attribute -> new token. *withheld*: attributes that are not sent."""

    sent: dict[str, Any]
    noted: dict[str, str]
    withheld: list[str]


def choose_optins(optins: Optins, read_at: str, last: Mapping[str, str], last_read_at: str, since: str) -> OptinChoice:
    """Choose the opt-ins of the newest version of a profile: every ``false``, and each ``true`` that has changed.

    *last*: the ledger's tokens, of a version read at *last_read_at*. *since*: since when the ledger knows all
    deliveries; empty: since the very first run. So an opt-out made inside the destination is overwritten neither by an
    unrelated change of the profile, nor after the memory was lost.
    """
    choice = OptinChoice({}, {}, [])
    for name, (value, consent) in optins.items():
        token = optin_token(value, consent)
        known = last.get(name, "")
        if value is True and is_delivered(token, known, last_read_at):
            continue
        if value is True and may_be_older(token, read_at, known, last_read_at):
            choice.withheld.append(name)
        elif value is True and is_unproven(token, known, last_read_at, since):
            choice.withheld.append(name)
            choice.noted[name] = WITHHELD + token
        else:
            choice.sent[name] = value
            choice.noted[name] = token
    return choice


def is_delivered(token: str, known: str, known_read_at: str) -> bool:
    """Whether the ``true`` delivered last covers this one: the same decision, or an earlier one."""
    return known.startswith("true") and (token == known or not is_later_decision(token, known, known_read_at))


def is_unproven(token: str, known: str, known_read_at: str, since: str) -> bool:
    """Whether a ``true`` may already have been delivered before the ledger began, or while it did not remember."""
    has_known = known and not known.startswith((WITHHELD, DOUBT)) and known_read_at > since
    return bool(since) and not has_known and not decided_at(token) > since


def may_be_older(token: str, read_at: str, known: str, known_read_at: str) -> bool:
    """Whether a ``true`` may be older than the ``false`` that was sent last; a later decision never is.

    The read times are compared only if the decision times are inconclusive: there are none, the person had not decided
    yet, or the consent is the same and its suppression was lifted.
    """
    if known.startswith(DOUBT):
        _, known_read_at, known = known.split(" ", 2)
    if not known.startswith("false"):
        return False
    consent, known_consent = consent_in(token), consent_in(known)
    has_times = decided_at(token) or decided_at(known)
    if not has_times or known_consent[0] == NEVER_SUBSCRIBED or consent == known_consent:
        return UNDATED in {read_at, known_read_at} or read_at < known_read_at
    return not is_later_decision(token, known, known_read_at)


def overdue_optouts(optins: Optins, read_at: str, last: Mapping[str, str], last_read_at: str) -> OptinChoice:
    """Choose the opt-outs to send from a version that, by its read time, is older than the delivered one.

    These are opt-outs that the delivered version does not have, or has as an opt-in decided earlier; without decision
    times, those read at about the same time.
    """
    choice = OptinChoice({}, {}, [])
    for name, (value, consent) in optins.items():
        token, known = optin_token(value, consent), last.get(name, "").removeprefix(WITHHELD)
        if value is not False or known.startswith("false"):
            continue
        if known.startswith("true"):
            has_times = (
                decided_at(token) and consent_in(known)[1]
            )  # a time in the future counts as earlier than any other
            if not (decided_at(token) > decided_at(known) if has_times else is_near(read_at, last_read_at)):
                continue
        choice.sent[name] = value
        choice.noted[name] = token
    return choice


def optin_token(value: bool, consent: str) -> str:
    """The ledger's token of an opt-in: the value, and the consent behind it (a suppression changes only the value)."""
    return f"{'true' if value else 'false'} {consent}"


def doubtful(known: str, known_read_at: str, token: str, read_at: str) -> str:
    """The token of an opt-in after *token* was sent without an answer; an unconfirmed opt-out is never forgotten."""
    if known == token:
        return known
    if token.startswith("true") and (
        is_delivered(token, known, known_read_at) or may_be_older(token, read_at, known, known_read_at)
    ):
        return known  # it was not sent
    if known.startswith(DOUBT):
        _, doubt_read_at, in_doubt = known.split(" ", 2)
        if token.startswith("true") and in_doubt.startswith("false"):
            return known
        if doubt_read_at > read_at and not (token.startswith("false") and in_doubt.startswith("true")):
            return known
    return f"{DOUBT}{read_at} {token}"


def is_later_decision(token: str, than: str, than_read_at: str) -> bool:
    """Whether *token* is certainly a later decision than *than*, compared by seconds.

    If the other decision has no time, its read time is used.
    """
    known = decided_at(than) or than_read_at
    return bool(known) and decided_at(token)[:SECONDS_LENGTH] > known[:SECONDS_LENGTH]


def decided_at(token: str) -> str:
    """When the decision behind a token was made (ISO 8601, UTC); "" if unknown or in the future.

    Of a consent and its suppression, the later time is used.

    >>> decided_at("true SUBSCRIBED 2026-08-14T09:12:40+00:00")
    '2026-08-14T09:12:40.000000+00:00'
    """
    times = [at for part in token.split(" ")[-2:] if (at := moment(part)) <= latest_credible()]
    return max(times, default="")


def consent_in(token: str) -> tuple[str, str]:
    """The consent in a token, regardless of suppressions: its word, and its time.

    >>> consent_in("false SUBSCRIBED 2026-05-01T10:00:00Z 2026-05-02T10:00:00Z")
    ('SUBSCRIBED', '2026-05-01T10:00:00.000000+00:00')
    """
    _, word, at, *_ = [*token.split(" "), "", ""]
    return word.upper(), moment(at)


def moment(text: str) -> str:
    """A time as formatted by `in_utc`; "" if it is not a time."""
    try:
        return in_utc(text)
    except (ValueError, OverflowError):
        return ""
