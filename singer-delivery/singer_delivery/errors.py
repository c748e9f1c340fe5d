"""Our own errors, their tree.

DeliveryError
├── SettingsError       the settings cannot work; nothing was sent (exit code 2)
└── RecordError         one record, or one line of it; the run goes on
    ├── Rejected        by its content: goes to the rejects file
    └── Filtered        by the settings: counted, not kept

No message holds a value of a record or of a secret setting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

FilterReason = Literal["unmapped_metric", "no_identifier", "no_attributes", "retention", "future_event"]
"""Why the settings leave a record out.

``no_attributes``: the profile holds none of the mapped attributes, and the destination refuses a person without any.
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake in the settings, found before the first request.

    ``path`` leads to the setting, as in ``event_mappings[0].event_type``; ``message`` says what is wrong without the
    value of any secret; ``suggestion`` says what to write instead.
    """

    path: str
    message: str
    suggestion: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        return f"{self.path}: {self.message} ({self.suggestion})"


class DeliveryError(Exception):
    """The root of the tree."""


class SettingsError(DeliveryError):
    """The settings cannot work; ``findings`` lists every mistake at once."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(f"setting {finding}" for finding in self.findings))


class RecordError(DeliveryError):
    """One record, or one line of it, does not become a user or an event."""


class Rejected(RecordError):
    """The content of the record makes it impossible to send.

    ``code`` is a stable snake_case word, ``field`` the field, identifier or parameter concerned, ``remedy`` what to do
    about it, where the table of remedies does not say.
    """

    def __init__(self, code: str, field: str, remedy: str = "") -> None:
        self.code = code
        self.field = field
        self.remedy = remedy
        super().__init__(f"{code} ({field}): {remedy}" if remedy else f"{code} ({field})")


class Filtered(RecordError):
    """The settings leave the record out; ``hint`` names a likely mistake in them, for a warning said once."""

    def __init__(self, reason: FilterReason, hint: str = "") -> None:
        self.reason = reason
        self.hint = hint
        super().__init__(f"{reason}: {hint}" if hint else reason)
