"""target-insiderone without validation of the records, so that its cost can be measured; the rest is the plugin's.

Its arguments are passed on. The plugin offers no such setting.
"""

from typing import Any

from singer_delivery.sink import EventSink, ProfileSink
from target_insiderone import target
from typing_extensions import override


class UncheckedProfileSink(ProfileSink):
    """Takes every profile as it comes."""

    @override
    def check(self, record: dict[str, Any]) -> None:
        pass


class UncheckedEventSink(EventSink):
    """Takes every event as it comes."""

    @override
    def check(self, record: dict[str, Any]) -> None:
        pass


if __name__ == "__main__":
    target.SINKS.update(profile=UncheckedProfileSink, event=UncheckedEventSink)
    target.main()
