"""Which opt-ins of a profile go along, and what the ledger then knows of them (CO-05, CO-06).

The ledger keeps a token for each opt-in: ``true SUBSCRIBED 2026-…``, what was delivered last and the consent it came
from; ``withheld true …``, what would have been sent, had one known what was delivered before; ``? 2026-… false …``,
what a version read then would have changed, of which nobody knows whether it has arrived.
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
"""The word of a consent that nobody has decided on yet."""


class Choice(NamedTuple):
    """What is sent: attribute -> opt-in. *noted*: the tokens that change by it. *withheld*: what stays behind."""

    sent: dict[str, Any]
    noted: dict[str, str]
    withheld: list[str]


def choose_optins(optins: Optins, read_at: str, last: Mapping[str, str], last_read_at: str, since: str) -> Choice:
    """The opt-ins of a version that nothing newer is known of: every ``false``, and each ``true`` that is news.

    *last*: the ledger's tokens, of a version that was read at *last_read_at*. *since*: from when on the ledger knows
    what was delivered; empty: from the first run of all. So an opt-out made inside the destination is overwritten
    neither by an unrelated change of the profile, nor after the memory was lost.
    """
    choice = Choice({}, {}, [])
    for name, (value, consent) in optins.items():
        token = optin_token(value, consent)
        known = last.get(name, "")
        if value is True and is_delivered(token, known, last_read_at):
            continue
        if value is True and may_be_older(token, read_at, known, last_read_at):
            choice.withheld.append(name)
        elif value is True and is_unproven(token, known, since):
            choice.withheld.append(name)
            choice.noted[name] = WITHHELD + token
        else:
            choice.sent[name] = value
            choice.noted[name] = token
    return choice


def is_delivered(token: str, known: str, known_read_at: str) -> bool:
    """Whether a ``true`` is no later decision than the ``true`` delivered last, however its time is written."""
    return known.startswith("true") and (token == known or not is_later_decision(token, known, known_read_at))


def is_unproven(token: str, known: str, since: str) -> bool:
    """Whether a ``true`` may have been delivered before the memory began."""
    return bool(since) and (not known or known.startswith((WITHHELD, DOUBT))) and not decided_at(token) > since


def may_be_older(token: str, read_at: str, known: str, known_read_at: str) -> bool:
    """Whether a ``true`` may be older than the ``false`` that was sent last: a later decision never is.

    The order of the readings tells only where the times of decisions do not: there are none, nobody had decided yet, or
    the consent is the same one, and its suppression was lifted.
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


def overdue_optouts(optins: Optins, read_at: str, last: Mapping[str, str], last_read_at: str) -> Choice:
    """The opt-outs of a version that is older than the one delivered, by the clocks alone.

    Those go all the same that the delivered version does not know, or knows as an opt-in decided earlier; where there
    is no time of a decision, those that were read at about the same time.
    """
    choice = Choice({}, {}, [])
    for name, (value, consent) in optins.items():
        token, known = optin_token(value, consent), last.get(name, "").removeprefix(WITHHELD)
        if value is not False or known.startswith("false"):
            continue
        if known.startswith("true"):
            has_times = decided_at(token) and consent_in(known)[1]  # a time ahead of now is earlier than any other
            if not (decided_at(token) > decided_at(known) if has_times else is_near(read_at, last_read_at)):
                continue
        choice.sent[name] = value
        choice.noted[name] = token
    return choice


def optin_token(value: bool, consent: str) -> str:
    """What the ledger keeps of an opt-in: a suppression changes the value, though not the consent behind it."""
    return f"{'true' if value else 'false'} {consent}"


def doubtful(known: str, known_read_at: str, token: str, read_at: str) -> str:
    """What is known of an opt-in once *token* was sent, and no answer came; an opt-out in doubt stays in mind."""
    if known == token:
        return known
    if token.startswith("true") and (
        is_delivered(token, known, known_read_at) or may_be_older(token, read_at, known, known_read_at)
    ):
        return known  # it did not go
    if known.startswith(DOUBT):
        _, doubt_read_at, in_doubt = known.split(" ", 2)
        if token.startswith("true") and in_doubt.startswith("false"):
            return known
        if doubt_read_at > read_at and not (token.startswith("false") and in_doubt.startswith("true")):
            return known
    return f"{DOUBT}{read_at} {token}"


def is_later_decision(token: str, than: str, than_read_at: str) -> bool:
    """Whether it is certain that a person decided so later than the other way, to the second.

    Where the other decision has no time, it is as late as its reading.
    """
    known = decided_at(than) or than_read_at
    return bool(known) and decided_at(token)[:SECONDS_LENGTH] > known[:SECONDS_LENGTH]


def decided_at(token: str) -> str:
    """When the decision behind a token was made (ISO 8601, UTC); nothing for none, or one ahead of now.

    Of a consent and its suppression the later one counts.

    >>> decided_at("true SUBSCRIBED 2026-08-14T09:12:40+00:00")
    '2026-08-14T09:12:40.000000+00:00'
    """
    times = [at for part in token.split(" ")[-2:] if (at := moment(part)) <= latest_credible()]
    return max(times, default="")


def consent_in(token: str) -> tuple[str, str]:
    """The consent in a token, whatever suppresses it: its word, and its time.

    >>> consent_in("false SUBSCRIBED 2026-05-01T10:00:00Z 2026-05-02T10:00:00Z")
    ('SUBSCRIBED', '2026-05-01T10:00:00.000000+00:00')
    """
    _, word, at, *_ = [*token.split(" "), "", ""]
    return word.upper(), moment(at)


def moment(text: str) -> str:
    """A time as `in_utc` writes it; nothing, if it is none."""
    try:
        return in_utc(text)
    except (ValueError, OverflowError):
        return ""
