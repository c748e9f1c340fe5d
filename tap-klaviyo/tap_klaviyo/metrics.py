"""The metrics (event types) of an account, and which of them the settings name."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple

from klaviyo_http.documents import NULL, decode_exactly, read_related_page
from klaviyo_http.endpoints import METRICS
from klaviyo_http.errors import MissingScopeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from klaviyo_http.client import KlaviyoClient
    from klaviyo_http.documents import Included, RelatedResource

logger = logging.getLogger("tap-klaviyo.metrics")

NEAR = 0.85
"""Minimum similarity, letter by letter, of a name and its misspelling."""

_SEPARATORS = re.compile(r"[\W_]+")

CONSENT_METRICS: Sequence[str] = (
    "Subscribed to Email Marketing",
    "Unsubscribed from Email Marketing",
    "Unsubscribed",
    "Subscribed to List",
    "Unsubscribed from List",
    "Updated Email Preferences",
    "Clicked email to unsubscribe",
    "Clicked and Unsubscribed from Email",
    "Manually Suppressed from Email Marketing",
    "Manually Unsuppressed from Email Marketing",
    "Marked Email as Spam",
    "Bounced Email",
    "Subscribed to Text Messaging Marketing",
    "Subscribed to SMS Marketing",
    "Consented to Receive SMS",
    "Unsubscribed from Text Messaging Marketing",
    "Unsubscribed from SMS Marketing",
    "Unsubscribed from SMS",
    "Subscribed to Text Messaging Transactional",
    "Subscribed to SMS Transactional",
    "Subscribed to SMS transactional",
    "Unsubscribed from Text Messaging Transactional",
    "Unsubscribed from SMS Transactional",
    "Subscribed to WhatsApp Marketing",
    "Subscribed to WhatsApp marketing",
    "Subscribed to WhatsApp Transactional",
    "Subscribed to WhatsApp transactional",
    "Unsubscribed from WhatsApp Marketing",
    "Unsubscribed from WhatsApp marketing",
    "Unsubscribed from WhatsApp Transactional",
    "Unsubscribed from WhatsApp transactional",
)
"""Klaviyo's own metrics that record a change of consent or of reachability, in all spellings ever used.

In July 2026 "Text Messaging" replaced "SMS" in the names; older accounts still have both. Source:
https://help.klaviyo.com/hc/en-us/articles/360036974872 and the topics of Klaviyo's webhooks.
"""


class Metric(NamedTuple):
    """A kind of event. Names may occur twice in an account, once per integration."""

    id: str
    name: str
    integration: str | None

    @property
    def qualified_name(self) -> str:
        """The name with its integration, which distinguishes namesakes: ``Placed Order (Shopify)``."""
        return f"{self.name} ({self.integration})"

    def is_called(self, wanted: str) -> bool:
        """Return whether a setting means this metric: by its exact name, its id, or its qualified name."""
        return wanted in (self.name, self.id, self.qualified_name)


@dataclass(frozen=True, slots=True)
class Resolution:
    """The metrics of one account that the names in a setting mean."""

    metrics: Sequence[Metric]
    unknown: Sequence[str]
    ambiguous: Sequence[tuple[str, Sequence[Metric]]]
    """Name -> the metrics of that name; all of them are read."""


def resolve(wanted: Iterable[str], metrics: Sequence[Metric]) -> Resolution:
    """Find the metrics that the names, ids and qualified names in *wanted* mean; each once."""
    found: dict[str, Metric] = {}
    unknown, ambiguous = [], []
    for name in wanted:
        matches = [metric for metric in metrics if metric.is_called(name)]
        found.update((metric.id, metric) for metric in matches)
        if not matches:
            unknown.append(name)
        elif len(matches) > 1:
            ambiguous.append((name, matches))
    return Resolution(list(found.values()), unknown, ambiguous)


def suggestion(name: str, metrics: Iterable[Metric]) -> str | None:
    """Return the name of the metric that is probably meant; one that differs in case or separators alone is preferred.

    Klaviyo's own names count as spelt correctly, however similar they are to each other.

    >>> suggestion("placed_ordr", [Metric("UvW3xY", "Placed Order", "Shopify")])
    'Placed Order'
    """
    if name in CONSENT_METRICS:
        return None
    known: dict[str, str] = {}
    for metric in metrics:
        qualified = metric.qualified_name if metric.integration else metric.name
        for spelling in (metric.name, qualified, metric.id):
            known.setdefault(_letters(spelling), spelling)
    letters = _letters(name)
    close = get_close_matches(letters, known, n=1, cutoff=NEAR)
    in_other_order = {"".join(sorted(spelling)): spelling for spelling in known}
    meant = letters if letters in known else in_other_order.get("".join(sorted(letters)), next(iter(close), None))
    return known[meant] if meant else None


def _letters(name: str) -> str:
    return _SEPARATORS.sub("", name).casefold()


def metric_of(resource: RelatedResource | Included) -> Metric:
    """Read a metric, as GET /api/metrics and ``include=metric`` have it.

    The OpenAPI document has its name nullable; a name that is no text counts as none, too.
    """
    name = decode_exactly(resource.attributes.get("name", NULL))
    integration = decode_exactly(resource.attributes.get("integration", NULL))
    integration_name = integration.get("name") if isinstance(integration, dict) else None
    return Metric(
        resource.id,
        name if isinstance(name, str) else "",
        integration_name if isinstance(integration_name, str) else None,
    )


class MetricDirectory:
    """The metrics of the account, read once a run and shared by its streams."""

    def __init__(self, client: KlaviyoClient) -> None:
        self._client = client
        self._metrics: Sequence[Metric] | None = None
        self._asked = False

    def metrics(self) -> Sequence[Metric] | None:
        """Read all metrics; None if the key lacks the scope (reported once).

        Source: GET /api/metrics (https://developers.klaviyo.com/en/reference/get_metrics).
        """
        if not self._asked:
            try:
                self._metrics = self._read()
            except MissingScopeError:
                logger.warning(
                    "the `api_key` lacks the scope metrics:read, so metrics cannot be filtered at the API: the events "
                    "of all metrics are read, and those that no setting names are dropped here. This costs requests, "
                    "nothing else; a key with metrics:read avoids it"
                )
            self._asked = True
        return self._metrics

    def _read(self) -> list[Metric]:
        pages = self._client.all_pages(METRICS.path, {}, read_related_page)
        return [metric_of(resource) for page in pages for resource in page.document.data]
