"""The tap's own command, with one named moment of it wired to a kill. The product's code runs as it is installed.

Run as a script; its orders stand in the environment (:class:`points.Orders`), its arguments are the command's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from klaviyo_http.client import KlaviyoClient
from singer_delivery.testing.points import Orders
from singer_delivery.testing.striking import Trigger, after, before, replace
from tap_klaviyo import tap
from tap_klaviyo.writer import LineWriter
from urllib3.connection import HTTPConnection

if TYPE_CHECKING:
    from collections.abc import Callable


def strike_half_lines(trigger: Trigger) -> None:
    """Fire when half of what was gathered is written."""
    original = LineWriter._write_out

    def write_out(writer: LineWriter) -> None:
        if writer._lines and trigger.is_due():
            middle = len(writer._lines) // 2
            rest = writer._lines[middle:]
            del writer._lines[middle:]
            original(writer)
            trigger.fire()
            writer._lines = rest
        original(writer)

    replace(LineWriter, "_write_out", write_out)


POINTS: dict[str, Callable[[Trigger], None]] = {
    "tap_request_sent": lambda trigger: before(HTTPConnection, "getresponse", trigger.pull),
    "tap_page_read": lambda trigger: after(KlaviyoClient, "_attempt", trigger.pull),
    "tap_line_half_written": strike_half_lines,
    "tap_lines_written": lambda trigger: after(LineWriter, "_write_out", trigger.pull),
}


def main() -> None:
    """Wire the point, then run the command."""
    orders = Orders.received()
    if orders.strike and orders.strike.point in POINTS:
        POINTS[orders.strike.point](Trigger(orders.strike, orders))
    tap.main()


main()
