"""Settings that the mapping tests start from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from target_insiderone.settings.findings import parse_settings

if TYPE_CHECKING:
    from target_insiderone.settings.settings import Settings

PACKAGE = Path(__file__).resolve().parents[1]
DEFAULT_MAPPING = PACKAGE / "examples" / "klaviyo-default-mapping.yml"
ACCOUNT = {"partner_name": "sandboxshop", "api_key": "sandbox-token"}
BY_EMAIL = {"identifier_mappings": [{"identifier_type": "email", "source_field": "email"}]}
ADA = {"id": "01ADA", "email": "ada@example.com"}


def settings_of(**config: Any) -> Settings:
    """Parse settings of one account that knows people by e-mail, unless *config* says otherwise."""
    return parse_settings({**ACCOUNT, **BY_EMAIL, **config})


def default_mapping() -> dict[str, Any]:
    """Read the mapping that ships."""
    mapping: dict[str, Any] = yaml.safe_load(DEFAULT_MAPPING.read_text(encoding="utf-8"))
    return mapping
