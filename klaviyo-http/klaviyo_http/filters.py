"""Klaviyo's filter grammar, and query strings (https://developers.klaviyo.com/en/docs/filtering_)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode

from klaviyo_http.moments import whole_second

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime


def compare(operator: str, field: str, moment: datetime) -> str:
    """Compose a comparison with a moment, which stands unquoted and ends in ``Z``.

    >>> from datetime import UTC, datetime
    >>> compare("less-than", "updated", datetime(2026, 8, 14, tzinfo=UTC))
    'less-than(updated,2026-08-14T00:00:00Z)'
    """
    return f"{operator}({field},{whole_second(moment)})"


def equals(field: str, value: str) -> str:
    """Compose an equality with a text, which stands in double quotes."""
    return f"equals({field},{json.dumps(value, ensure_ascii=False)})"


def any_of(field: str, values: Iterable[str]) -> str:
    """Compose a membership test; keep to 100 values, the only limit that Klaviyo publishes (for reports)."""
    return f"any({field},{json.dumps(list(values), ensure_ascii=False, separators=(',', ':'))})"


def all_of(*conditions: str | None) -> str | None:
    """Join conditions, all of which must hold; None where there is none."""
    present = [condition for condition in conditions if condition]
    return ",".join(present) or None


def query_string(parameters: Mapping[str, str | int | None]) -> str:
    """Percent-encode a query, names included; a parameter without a value is left out."""
    return urlencode(
        [(name, value) for name, value in parameters.items() if value is not None], quote_via=quote, safe=""
    )


def leaving_out(query: str, name: str, value: str) -> str:
    """Take one value out of a list in an encoded query; every other parameter stays.

    >>> leaving_out("include=metric%2Cprofile&sort=datetime", "include", "metric")
    'include=profile&sort=datetime'
    """
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    if name in parameters:
        parameters[name] = ",".join(one for one in parameters[name].split(",") if one != value)
    return query_string(parameters)
