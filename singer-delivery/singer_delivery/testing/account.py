"""What a harness must know of the API that a target delivers to: one class, which a target's author writes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from singer_delivery.testing.deliveries import Deliveries, EventKey


class Account(ABC):
    """An account at a stand-in of the API, empty at the beginning of an ordeal."""

    command: Sequence[str]
    """Starts a script that calls `struck.run_struck` with the target's console script."""

    @abstractmethod
    def settings(self, data_dir: Path) -> Mapping[str, Any]:
        """The target's settings: small batches, several lanes, ``max_rejects`` large enough."""

    @abstractmethod
    def held(self) -> Mapping[str, Mapping[str, Any]]:
        """What the API holds, without what depends on the order of requests: name -> parts."""

    @abstractmethod
    def held_twice(self) -> Sequence[EventKey]:
        """Events that it holds more than once."""

    @abstractmethod
    def deliveries(self) -> Deliveries:
        """All events that reached it."""

    @abstractmethod
    def requests(self) -> int:
        """How many requests it got."""

    @abstractmethod
    def calm(self) -> None:
        """Let no request fail any more, but for what belongs to the data."""
