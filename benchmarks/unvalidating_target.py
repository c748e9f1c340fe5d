"""target-insiderone without validation of the records, so that its cost can be measured; the rest is the plugin's.

Its arguments are passed on. The plugin offers no such setting.
"""

from typing import Any

from singer_delivery.sink import DeliverySink
from target_insiderone import cli
from target_insiderone.target import TargetInsiderOne
from typing_extensions import override


class UncheckedSink(DeliverySink):
    """Takes every record as it comes."""

    @override
    def check(self, record: dict[str, Any]) -> None:
        pass


if __name__ == "__main__":
    TargetInsiderOne.sink_class = UncheckedSink
    cli.main()
