"""Findings of ``check``: data folder, ledger and credentials. Nothing is written to the destination."""

from __future__ import annotations

from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING

from singer_delivery.errors import Finding
from singer_delivery.memory.data_dir import DataDir
from singer_delivery.memory.database import LedgerError
from singer_delivery.memory.ledger import Ledger
from singer_delivery.sending.network import NetworkSettingError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_delivery.settings.declarations import DeliverySettings
    from singer_delivery.target import DeliveryTarget

RETRY_SECONDS = 10
"""Short, because somebody waits for the result."""


def ledger_findings(settings: DeliverySettings, prefix: str) -> list[Finding]:
    """Whether the data folder and the ledger can be used; *prefix*: name prefix of the ledger's tables."""
    try:
        data_dir = DataDir(settings.data_dir, settings.integration_name)
        if settings.ledger_days:
            Ledger(settings.ledger_url or f"sqlite:///{data_dir.ledger}", prefix).close()
    except LedgerError as error:
        return [Finding("ledger_url", str(error), "correct it, or remove it to use a file in data_dir")]
    except OSError as error:
        return [Finding("data_dir", f"cannot be used ({error.strerror})", "name a folder that this user may write to")]
    return []


def credential_findings(target: type[DeliveryTarget], settings: DeliverySettings) -> Iterator[Finding]:
    """Whether the destination accepts the credentials."""
    destination = target.destination(replace(settings, max_retry_seconds=RETRY_SECONDS))
    try:
        yield from destination.try_credentials(destination.connect(Event()))
    except NetworkSettingError as error:
        yield Finding("api_url", str(error), "check the address, proxies and the network")
