"""What the SDK loads without any of our work: a BatchSink that maps as target-insiderone does and posts each batch.

stock_target.py --config FILE < in.jsonl      with the settings of target-insiderone. Reading, validation, parsing of
dates and encoding are the SDK's own; there is no ledger, no retry, no account, no request beside another.
"""

import time
from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar

import requests
from singer_delivery.errors import Filtered
from singer_sdk import BatchSink, Target
from singer_sdk.singerlib.json import serialize_json
from target_insiderone.mapping import compile_events, compile_profiles
from target_insiderone.settings.config_schema import CONFIG_JSONSCHEMA
from target_insiderone.settings.findings import parse_settings
from typing_extensions import override

Record = dict[str, Any]
User = dict[str, Any]


class StockSink(BatchSink):
    """Posts up to 1,000 users at a time, and waits for the answer."""

    max_size = 1_000

    @cached_property
    def _session(self) -> requests.Session:
        session = requests.Session()
        session.headers["X-PARTNER-NAME"] = self.config["partner_name"]
        session.headers["X-REQUEST-TOKEN"] = self.config["api_key"]
        session.headers["Content-Type"] = "application/json"
        return session

    @cached_property
    def _to_user(self) -> Callable[[Record], User]:
        settings = parse_settings(self.config)
        if settings.stream_kinds[self.stream_name] == "profile":
            map_profile = compile_profiles(settings)
            return lambda record: map_profile(record).user
        map_event = compile_events(settings)

        def to_user(record: Record) -> User:
            mapped = map_event(record, time.time())
            return {"identifiers": mapped.identifiers, "events": [event for _, _, event in mapped.events]}

        return to_user

    @override
    def process_record(self, record: Record, context: dict[str, Any]) -> None:
        """Map and stage one record; its dates become text again, which is what the mapping takes."""
        for name, value in record.items():
            if isinstance(value, datetime):
                record[name] = value.isoformat()
        try:
            context.setdefault("users", []).append(self._to_user(record))
        except Filtered:
            return

    @override
    def process_batch(self, context: dict[str, Any]) -> None:
        users = context.get("users")
        if not users:
            return
        answer = self._session.post(
            f"{self.config['api_url']}/api/user/v1/upsert", data=serialize_json({"users": users}).encode(), timeout=60
        ).json()
        if answer["data"]["successful"].get("count", 0) != len(users):
            raise RuntimeError("users were refused")


class StockTarget(Target):
    """One stream, for comparison."""

    name = "stock-target"
    config_jsonschema: ClassVar[dict[str, Any]] = CONFIG_JSONSCHEMA
    default_sink_class = StockSink


if __name__ == "__main__":
    StockTarget.cli()
