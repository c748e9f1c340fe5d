"""The named moments at which the tap is killed."""

from __future__ import annotations

TAP_POINTS = {
    "tap_request_sent": "a request to Klaviyo is out, its answer unread",
    "tap_page_read": "a page's answer is read, nothing of it used",
    "tap_line_half_written": "half of what was gathered for the output is written",
    "tap_lines_written": "lines are written, the rest of the page not",
}
