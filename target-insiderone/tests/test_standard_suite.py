"""The SDK's standard target suite, against the sandbox."""

from __future__ import annotations

import json
from importlib import resources

import pytest
from klaviyo_insiderone_sandbox.testing import PARTNER, TOKEN
from singer_sdk.testing import SuiteConfig, get_target_test_class, target_test_streams
from singer_sdk.testing.runners import TargetTestRunner
from target_insiderone.target import TargetInsiderOne

STREAM_FILES = resources.files(target_test_streams)
STREAMS = {
    json.loads(line)["stream"]
    for file in STREAM_FILES.iterdir()
    if file.name.endswith(".singer")
    for line in file.read_text().splitlines()
    if '"SCHEMA"' in line
}
"""The suite's streams have schemas of their own: each is declared as profiles here."""

StandardTargetTests = get_target_test_class(TargetInsiderOne, config={}, suite_config=SuiteConfig())


class TestTargetInsiderOne(StandardTargetTests):
    """The suite, with a runner that knows the sandbox."""

    @pytest.fixture
    def runner(self, sandbox, tmp_path):
        """Run the suite's streams as profiles with an identifier of their own."""
        settings = {
            "partner_name": PARTNER,
            "api_key": TOKEN,
            "api_url": sandbox.insiderone_url,
            "data_dir": str(tmp_path / "data"),
            "identifier_mappings": [{"identifier_type": "uuid", "source_field": ["id", "Id", "_id"]}],
            "fixed_attributes": [{"attribute": "data_source", "value": "klaviyo"}],
            "stream_kinds": dict.fromkeys(STREAMS, "profile"),
            "on_nothing_delivered": "warn",
        }
        runner = TargetTestRunner(TargetInsiderOne, config=settings)
        yield runner
        if runner.input_filepath:
            runner.target_input.close()

    def test_target_record_missing_key_property(self, runner, tmp_path):
        """The SDK's test wants the run to end; with us a record without its key costs itself only."""
        runner.input_filepath = STREAM_FILES / "record_missing_key_property.singer"

        runner.sync_all()

        (rejects,) = (tmp_path / "data").glob("*/rejects.jsonl")
        assert [json.loads(line)["code"] for line in rejects.read_text().splitlines()] == ["missing_key"]
