"""What the Meltano project runs: its three flows, with the settings that it gives them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from commands import Stream

MELTANO_YML = Path(__file__).parent.parent / "meltano.yml"


@dataclass(frozen=True, slots=True)
class Flow:
    """One stream, and how it is read."""

    stream: Stream
    settings: dict[str, Any]


def flows() -> list[Flow]:
    """Return the flows, in the order of meltano.yml."""
    extractors = yaml.safe_load(MELTANO_YML.read_text(encoding="utf-8"))["plugins"]["extractors"]
    base = next(one["config"] for one in extractors if one["name"] == "tap-klaviyo")
    heirs = [one for one in extractors if one.get("inherit_from") == "tap-klaviyo"]
    return [Flow(one["select"][0].removesuffix(".*"), {**base, **one.get("config", {})}) for one in heirs]
