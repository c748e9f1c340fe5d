"""The Singer target for Insider One: its settings, its destination, its commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from singer_delivery.target import DeliveryTarget

from target_insiderone import __version__
from target_insiderone.destination import InsiderOne
from target_insiderone.settings.config_schema import CONFIG_JSONSCHEMA
from target_insiderone.settings.findings import DECLARED
from target_insiderone.settings.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from target_insiderone.settings.settings import Settings


class TargetInsiderOne(DeliveryTarget):
    """Singer target for Insider One: maps records to users and events, upserts them, and accounts for each."""

    name = "target-insiderone"
    package_name = "target-insiderone"
    version = __version__
    destination_name = InsiderOne.name
    prefix = InsiderOne.prefix
    declared = DECLARED
    command_names = ("check", *DeliveryTarget.command_names)
    config_jsonschema: ClassVar[dict[str, Any]] = CONFIG_JSONSCHEMA

    @classmethod
    def read_settings(cls, config: Mapping[str, Any]) -> Settings:
        """Read valid settings."""
        return read_settings(config)

    @classmethod
    def destination(cls, settings: Settings) -> InsiderOne:
        """Make the destination for the account in these settings."""
        return InsiderOne(settings, cls.version)
