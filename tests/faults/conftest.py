"""The harness's parts for its tests: the recording, what it brings undisturbed, and a way to start an ordeal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from insiderone import target_ordeal
from recording import record_shop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from klaviyo_insiderone_sandbox.testing import Sandbox
    from singer_delivery.testing.ordeals import TargetOrdeal
    from singer_delivery.testing.recording import Recording
    from singer_delivery.testing.verdict import Ideal


@pytest.fixture(scope="session")
def recording() -> Recording:
    """More than 5,000 records; none of them is refused with a 400."""
    return record_shop(seed=1)


@pytest.fixture(scope="session")
def unstorable_recording() -> Recording:
    """The same with rows that the sandbox refuses with a 400, so that batches are bisected."""
    return record_shop(seed=1, unstorable=True)


@pytest.fixture(scope="session")
def ideal_of(running: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Recording], Ideal]:
    """What a recording brings when nothing happens on the way; found out once."""
    known: dict[int, Ideal] = {}

    def find(recording: Recording) -> Ideal:
        if id(recording) not in known:
            undisturbed = target_ordeal(running, tmp_path_factory.mktemp("ideal") / "run", recording)
            undisturbed.run_to_success()
            known[id(recording)] = undisturbed.ideal()
        return known[id(recording)]

    return find


@pytest.fixture
def begin(sandbox: Sandbox, tmp_path: Path) -> Callable[..., TargetOrdeal]:
    """Begin an ordeal of the target alone: ``begin(recording, setting=...)``."""

    def start(recording: Recording, **settings: Any) -> TargetOrdeal:
        return target_ordeal(sandbox, tmp_path / "ordeal", recording, **settings)

    return start
