"""Klaviyo's filter grammar, and query strings (https://developers.klaviyo.com/en/docs/filtering_)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode

from klaviyo_http.endpoints import LOWER_BOUNDS, UPPER_BOUND
from klaviyo_http.moments import GRAIN, whole_second

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from klaviyo_http.endpoints import Endpoint


def compare(operator: str, field: str, moment: datetime) -> str:
    """Compose a comparison with a time, which is not quoted and ends in ``Z``.

    >>> from datetime import UTC, datetime
    >>> compare("less-than", "updated", datetime(2026, 8, 14, tzinfo=UTC))
    'less-than(updated,2026-08-14T00:00:00Z)'
    """
    return f"{operator}({field},{whole_second(moment)})"


def period(endpoint: Endpoint, field: str, start: datetime | None, end: datetime | None) -> str | None:
    """Compose the conditions for *start* <= field < *end*, as far as the endpoint's operators can say that.

    Where the only lower bound is strict (``greater-or-equal`` is a 400), one second earlier is asked for. A bound that
    has no operator is left out.

    >>> from datetime import UTC, datetime
    >>> from klaviyo_http.endpoints import LISTS
    >>> period(LISTS, "updated", datetime(2026, 8, 14, tzinfo=UTC), datetime(2026, 8, 15, tzinfo=UTC))
    'greater-than(updated,2026-08-13T23:59:59Z)'
    """
    operators = endpoint.filters.get(field, ())
    lower = next((one for one in LOWER_BOUNDS if one in operators), None)
    if lower == "greater-than" and start:
        start -= GRAIN
    return all_of(
        compare(lower, field, start) if lower and start else None,
        compare(UPPER_BOUND, field, end) if UPPER_BOUND in operators and end else None,
    )


def equals(field: str, value: str | bool) -> str:
    """Compose an equality; strings are in double quotes, booleans are not."""
    return f"equals({field},{json.dumps(value, ensure_ascii=False)})"


def any_of(field: str, values: Iterable[str]) -> str:
    """Compose a membership test; keep to 100 values, the only limit that Klaviyo publishes (for reports)."""
    return f"any({field},{json.dumps(list(values), ensure_ascii=False, separators=(',', ':'))})"


def all_of(*conditions: str | None) -> str | None:
    """Join conditions with "and"; None if there are none."""
    present = [condition for condition in conditions if condition]
    return ",".join(present) or None


def query_string(parameters: Mapping[str, str | int | None]) -> str:
    """Percent-encode a query, names included; a parameter without a value is left out."""
    return urlencode(
        [(name, value) for name, value in parameters.items() if value is not None], quote_via=quote, safe=""
    )


def leaving_out(query: str, name: str, value: str) -> str:
    """Remove one value from a list in an encoded query; every other parameter stays.

    >>> leaving_out("include=metric%2Cprofile&sort=datetime", "include", "metric")
    'include=profile&sort=datetime'
    """
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    if name in parameters:
        parameters[name] = ",".join(one for one in parameters[name].split(",") if one != value)
    return query_string(parameters)
