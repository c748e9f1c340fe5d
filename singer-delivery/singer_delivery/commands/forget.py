"""``forget``: takes a person's addresses out of everything that the target keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from singer_delivery.accounts.rejects import RejectsFile
from singer_delivery.memory.addresses import Addresses
from singer_delivery.memory.data_dir import DataDir
from singer_delivery.memory.digests import Digester
from singer_delivery.memory.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from singer_delivery.settings.declarations import DeliverySettings


@dataclass(slots=True)
class Forgotten:
    """How much went; *unknown* are the lines of the list whose address stood nowhere, *given* how many there were."""

    given: int
    unknown: list[int]
    rejects: int = 0
    profiles: int = 0
    events: int = 0
    files: int = 0


def forget(settings: DeliverySettings, prefix: str, lines: Iterable[str]) -> Forgotten:
    """Remove addresses (e-mail, phone; one a line) from all that is kept of this integration, and from dry runs.

    *prefix*: of the ledger's tables. Whole entries go, torn lines too; of dry runs, summaries and left-overs the whole
    file. An event whose outcome is open counts as delivered from then on: nothing of the person is sent again.
    """
    addresses = Addresses(lines, settings.default_country)
    found: set[int] = set()

    def is_gone(line: bytes) -> bool:
        here = addresses.found_in(line)
        found.update(here)
        return bool(here)

    data_dir = DataDir(settings.data_dir, settings.integration_name)
    gone = Forgotten(len(addresses.numbers), [])
    gone.rejects = sum(RejectsFile(path, run_id="").remove(is_gone) for path in data_dir.kept_records)
    gone.files = sum(_remove(path, is_gone) for path in data_dir.other_personal_files())
    if settings.ledger_url or data_dir.has_ledger:  # also one that was switched off since
        digest = Digester(settings.scope)
        ledger = Ledger(settings.ledger_url or f"sqlite:///{data_dir.ledger}", prefix)
        by_digest = {
            digest(kind, spelling): numbers
            for spelling, numbers in addresses.spellings.items()
            for kind in ("email", "phone_number")
        }
        gone.profiles, known = ledger.profiles.forget(list(by_digest))
        found.update(*(by_digest[each] for each in known))
        gone.events = ledger.events.forget(lambda intent: sum(map(is_gone, intent.split(b"\n"))) > 0)
        ledger.close()
    gone.unknown = sorted(addresses.numbers - found)
    return gone


def _remove(path: Path, is_gone: Callable[[bytes], bool]) -> bool:
    """Remove a file if one of its lines is to go; every line is looked at."""
    mentioned = False
    with path.open("rb") as file:
        for line in file:
            mentioned = is_gone(line) or mentioned
    if mentioned:
        path.unlink(missing_ok=True)
    return mentioned
