"""Exceptions for invalid input of the tap: settings, catalog, state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klaviyo_http.errors import KlaviyoError, StreamError

if TYPE_CHECKING:
    from collections.abc import Sequence


class MapFailedError(KlaviyoError):
    """An expression in ``stream_maps`` cannot be evaluated for a record."""


class MisspeltMetricsError(KlaviyoError):
    """The account has none of the metrics that a setting names, and one looks misspelt: nothing can ever be read."""


class UnreadableStateError(StreamError):
    """The state has a bookmark of this stream that is not a date-time."""


class RefusedInputError(Exception):
    """Invalid input on the command line."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes
