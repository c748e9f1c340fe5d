"""``forget``: removes a person's addresses from everything that the target stores."""

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
    """How much was removed.

    *given*: number of lines with an address; *unknown*: lines whose address was found nowhere; *without*: lines without
    an address. *others*: other integrations with data in the same data folder, which was not searched.
    """

    given: int
    without: list[int]
    unknown: list[int]
    others: list[str]
    rejects: int = 0
    profiles: int = 0
    events: int = 0
    files: int = 0


def forget(settings: DeliverySettings, prefix: str, lines: Iterable[str]) -> Forgotten:
    """Remove addresses (e-mail, phone; one per line) from all data of this integration, and from dry runs.

    *prefix*: name prefix of the ledger's tables. Whole entries are removed, torn lines too; dry runs, summaries and
    temporary files are deleted whole. An event without a known outcome counts as delivered from then on, so that
    nothing of the person is sent again.
    """
    addresses = Addresses(lines, settings.default_country)
    found: set[int] = set()

    def is_gone(line: bytes) -> bool:
        here = addresses.found_in(line)
        found.update(here)
        return bool(here)

    data_dir = DataDir(settings.data_dir, settings.integration_name)
    gone = Forgotten(len(addresses.numbers), addresses.without, [], data_dir.other_integrations())
    gone.rejects = sum(RejectsFile(path, run_id="").remove(is_gone) for path in data_dir.kept_records)
    gone.files = sum(_remove(path, is_gone) for path in data_dir.other_personal_files())
    if settings.ledger_url or data_dir.has_ledger:  # even if it is switched off now
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
    """Delete a file if one of its lines is to be removed; every line is checked, so that all addresses are found."""
    mentioned = False
    with path.open("rb") as file:
        for line in file:
            mentioned = is_gone(line) or mentioned
    if mentioned:
        path.unlink(missing_ok=True)
    return mentioned
