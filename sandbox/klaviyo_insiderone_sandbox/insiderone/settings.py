"""Settings of an Insider One account: identifiers, defined names, retention."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import msgspec

PARTNER = "sandboxshop"
TOKEN = "sandbox-token"  # noqa: S105 - the sandbox's public test token

DEFAULT_IDENTIFIERS = ("email", "phone_number", "uuid")


class Settings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, dict=True):
    """The account's settings; the control plane replaces single ones."""

    identifiers: tuple[str, ...] = DEFAULT_IDENTIFIERS
    """Default identifiers that find profiles, by precedence."""
    custom_identifiers: tuple[str, ...] = ()
    """Custom identifiers that find profiles, after the default ones."""
    blocked_values: tuple[str, ...] = ("undefined", "anonymous", "0", "1", "null")
    """Identifier values that match nobody."""
    max_values: dict[str, int] = {}
    """Identifier -> how many values of it a profile may hold; absent = any number."""
    custom_attributes: tuple[str, ...] | None = None
    """Defined custom attributes; null = all are taken as defined."""
    events: tuple[str, ...] | None = None
    """Defined custom events; null = all are taken as defined."""
    unresolved: Literal["silent", "refuse"] = "silent"
    """What happens to a user whose identifiers match nobody: accepted and forgotten, or refused."""
    custom_event_retention_days: int = 90
    unknown_partner_status: Literal[400, 403] = 400
    retry_after: bool = False
    """Whether a 429 has a ``Retry-After``."""

    @cached_property
    def priority(self) -> tuple[str, ...]:
        """All enabled identifiers by precedence, custom ones as ``custom.<name>``."""
        return (*self.identifiers, *(f"custom.{name}" for name in self.custom_identifiers))

    @cached_property
    def plain(self) -> tuple[str, ...]:
        """Default identifiers that are not enabled: they are kept as attributes."""
        return tuple(name for name in DEFAULT_IDENTIFIERS if name not in self.identifiers)
