"""The Singer SDK's standard tests of a tap, against the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from klaviyo_insiderone_sandbox.testing import KLAVIYO_KEY, Sandbox
from singer_sdk.testing import SuiteConfig, get_tap_test_class
from tap_klaviyo.tap import STREAMS, TapKlaviyo

from .conftest import catalog_of

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG: dict[str, Any] = {"api_key": KLAVIYO_KEY}
"""Completed by `seeded`, before the suite's first request."""


@pytest.fixture(scope="module", autouse=True)
def seeded() -> Iterator[None]:
    with Sandbox() as sandbox:
        sandbox.seed(profiles=50, events=200)
        CONFIG["api_url"] = sandbox.klaviyo_url
        yield


TestTapKlaviyo = get_tap_test_class(
    TapKlaviyo,
    config=CONFIG,
    suite_config=SuiteConfig(max_records_limit=50),
    parse_env_config=False,
    catalog=catalog_of([stream.name for stream in STREAMS]),
)
