"""A sandbox for the client; one for each test process, emptied before each test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from klaviyo_insiderone_sandbox.testing import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="session")
def running() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    running.reset()
    return running


@pytest.fixture
def profiles() -> Callable[..., list[dict[str, Any]]]:
    """Make up profiles with ids in order."""

    def people(count: int, **attributes: Any) -> list[dict[str, Any]]:
        return [
            {"id": f"P{number:05}", "attributes": {"email": f"p{number}@shop.example", **attributes}}
            for number in range(count)
        ]

    return people
