"""Which opt-ins of a profile go along, and what the ledger then knows of them (CO-05, CO-06).

The ledger keeps a token for each opt-in: ``true SUBSCRIBED 2026-…``, what was delivered last and the consent it came
from; ``withheld true …``, what would have been sent, had one known what was delivered before; ``? 2026-… false …``,
what a version read then would have changed, of which nobody knows whether it has arrived.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from singer_delivery.memory.read_times import UNDATED, in_utc, is_near

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Optins = Mapping[str, tuple[Any, str]]

WITHHELD = "withheld "
DOUBT = "? "


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
        if known == token and value is True:
            continue
        if value is True and is_unproven(token, known, since):
            choice.withheld.append(name)
            choice.noted[name] = WITHHELD + token
        elif value is not True or not may_undo_an_optout(token, read_at, known, last_read_at):
            choice.sent[name] = value
            choice.noted[name] = token
    return choice


def is_unproven(token: str, known: str, since: str) -> bool:
    """Whether a ``true`` may have been delivered before the memory began."""
    if not since:
        return False
    if known.startswith(WITHHELD):
        return known == WITHHELD + token
    return (not known or known.startswith(DOUBT)) and not decided_at(token) > since


def may_undo_an_optout(token: str, read_at: str, known: str, known_read_at: str) -> bool:
    """Whether a ``true`` may be older than the ``false`` that was sent last: a later decision never is."""
    if known.startswith(DOUBT):
        _, known_read_at, known = known.split(" ", 2)
    if not known.startswith("false"):
        return False
    if UNDATED in {read_at, known_read_at}:
        return not is_later_decision(token, known)
    return read_at < known_read_at


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
            has_times = decided_at(token) and decided_at(known)
            if not (is_later_decision(token, known) if has_times else is_near(read_at, last_read_at)):
                continue
        choice.sent[name] = value
        choice.noted[name] = token
    return choice


def optin_token(value: bool, consent: str) -> str:
    """What the ledger keeps of an opt-in: a suppression changes the value, though not the consent behind it."""
    return f"{'true' if value else 'false'} {consent}"


def doubtful(known: str, token: str, read_at: str) -> str:
    """What is known of an opt-in once *token* was sent, and no answer came; an opt-out in doubt stays in mind."""
    if known == token:
        return known
    if known.startswith(DOUBT):
        _, known_read_at, in_doubt = known.split(" ", 2)
        if token.startswith("true") and in_doubt.startswith("false"):
            return known
        if known_read_at > read_at and not (token.startswith("false") and in_doubt.startswith("true")):
            return known
    return f"{DOUBT}{read_at} {token}"


def is_later_decision(token: str, than: str) -> bool:
    """Whether a person decided so later than the other way."""
    return bool(decided_at(than)) and decided_at(token) > decided_at(than)


def decided_at(token: str) -> str:
    """When the decision behind a token was made (ISO 8601, UTC); nothing where the token does not say.

    >>> decided_at("true SUBSCRIBED 2026-08-14T09:12:40+00:00")
    '2026-08-14T09:12:40.000000+00:00'
    """
    try:
        return in_utc(token.rpartition(" ")[2])
    except (ValueError, OverflowError):
        return ""
