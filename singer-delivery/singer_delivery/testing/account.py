"""The interface between the harness and a stand-in of the API; a target's author implements it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from singer_delivery.testing.deliveries import Deliveries, EventKey


class Account(ABC):
    """An account at a stand-in of the API, empty at the start of an ordeal."""

    command: Sequence[str]
    """Command of a script that calls `struck.run_struck` with the target's console script."""

    @abstractmethod
    def settings(self, data_dir: Path) -> Mapping[str, Any]:
        """The target's settings: small batches, several lanes, ``max_rejects`` large enough."""

    @abstractmethod
    def held(self) -> Mapping[str, Mapping[str, Any]]:
        """The API's data, without parts that depend on the order of requests: name -> parts."""

    @abstractmethod
    def held_twice(self) -> Sequence[EventKey]:
        """Events that the API stores more than once."""

    @abstractmethod
    def deliveries(self) -> Deliveries:
        """All events that reached the API."""

    @abstractmethod
    def requests(self) -> int:
        """Number of requests that the API received."""

    @abstractmethod
    def calm(self) -> None:
        """Remove all faults, except refusals caused by the data."""
