"""The engine's exceptions.

DeliveryError
├── SettingsError       invalid settings; nothing was sent (exit code 2)
└── RecordError         one record, or one line of it; the run goes on
    ├── Rejected        by its content: goes to the rejects file
    └── Filtered        by the settings: counted, not kept

No message contains a value of a record or of a secret setting.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from singer_delivery.disclosure import without_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

FilterReason = Literal["unmapped_metric", "no_identifier", "no_attributes", "retention", "future_event"]
"""Why the settings leave a record out.

``no_attributes``: the profile has none of the mapped attributes, and the destination refuses a person without any.
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake in the settings, found before the first request.

    ``path`` names the setting, such as ``event_mappings[0].event_type``; ``message`` says what is wrong, without the
    value of any secret; ``suggestion`` says what to write instead.
    """

    path: str
    message: str
    suggestion: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        return without_keys(f"{self.path}: {self.message} ({self.suggestion})")


class DeliveryError(Exception):
    """The base class."""


class SettingsError(DeliveryError):
    """The settings are invalid; ``findings`` lists every mistake at once."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(f"setting {finding}" for finding in self.findings))


class RecordError(DeliveryError):
    """One record, or one line of it, is not sent."""


class Rejected(RecordError):
    """The record cannot be sent because of its content.

    ``code`` is a stable snake_case word; ``field`` is the field, identifier or parameter concerned; ``remedy`` says
    what to do about it, if the table of remedies does not.
    """

    def __init__(self, code: str, field: str, remedy: str = "") -> None:
        self.code = code
        self.field = field
        self.remedy = remedy
        super().__init__(f"{code} ({field}): {remedy}" if remedy else f"{code} ({field})")


class Filtered(RecordError):
    """The settings leave the record out; ``hint`` names a likely mistake in them, for a warning logged once."""

    def __init__(self, reason: FilterReason, hint: str = "") -> None:
        self.reason = reason
        self.hint = hint
        super().__init__(f"{reason}: {hint}" if hint else reason)


def frames(error: Exception) -> str:
    """Where an error came from, innermost last; without its message, which may quote the record."""
    places = traceback.extract_tb(error.__traceback__)[-3:]
    return " > ".join(f"{Path(place.filename).name}:{place.lineno}" for place in places)
