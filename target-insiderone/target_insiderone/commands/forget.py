"""`target-insiderone forget`: takes a person's addresses out of everything that the target keeps."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from target_insiderone.data_dir import DataDir
from target_insiderone.digests import Digester
from target_insiderone.ledger import Ledger
from target_insiderone.rejects import RejectsFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from target_insiderone.settings import Settings


SEPARATORS = dict.fromkeys(map(ord, " \t-/()"))
"""What people write between the digits of a phone number; no e-mail address loses its dots by it."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How much went."""

    rejects: int
    profiles: int
    dry_runs: int


def forget(settings: Settings, addresses: Iterable[str]) -> Forgotten:
    """Remove *addresses* (e-mail addresses and phone numbers) from rejects, ledger and dry runs of this integration."""
    spellings = {spelling for address in addresses for spelling in spellings_of(address)}
    data_dir = DataDir(settings.data_dir, settings.integration_name)
    profiles = 0
    if settings.ledger_days:
        digest = Digester(settings.scope)
        ledger = Ledger(settings.ledger_url or f"sqlite:///{data_dir.ledger}")
        digests = [digest(kind, spelling) for spelling in spellings for kind in ("email", "phone_number")]
        profiles = ledger.profiles.forget(digests)
        ledger.close()
    found = finder(spellings)
    gone = sum(
        RejectsFile(path, run_id="").rewrite(lambda entry: None if mentions(entry, found) else entry)
        for path in data_dir.kept_records
    )
    return Forgotten(gone, profiles, sum(_remove(path, found) for path in data_dir.root.glob("dry-run-*.jsonl")))


def spellings_of(address: str) -> set[str]:
    """The ways in which an address may stand in what is kept: as given, and without separators, in either case."""
    plain = address.strip()
    if not plain:
        return set()
    bare = plain.translate(SEPARATORS)
    return {plain, plain.lower(), bare, bare.lower()}


def finder(spellings: Iterable[str]) -> Callable[[str], bool]:
    """Whether a text holds one of *spellings* as a whole: ann@x.io is not found in joann@x.io."""
    words = "|".join(re.escape(spelling) for spelling in sorted(spellings, key=len, reverse=True))
    if not words:
        return lambda _: False
    pattern = re.compile(rf"(?<![\w.+@-])(?:{words})(?![\w@-]|\.\w)", re.IGNORECASE)
    return lambda text: bool(pattern.search(text) or pattern.search(text.translate(SEPARATORS)))


def mentions(value: Any, found: Callable[[str], bool]) -> bool:
    """Whether *found* holds of any text anywhere in *value*."""
    if isinstance(value, dict):
        return any(mentions(inner, found) for pair in value.items() for inner in pair)
    if isinstance(value, list):
        return any(mentions(inner, found) for inner in value)
    return isinstance(value, str) and found(value)


def _remove(path: Path, found: Callable[[str], bool]) -> bool:
    if any(mentions(json.loads(line), found) for line in path.read_text().splitlines()):
        path.unlink()
        return True
    return False
