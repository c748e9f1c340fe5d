"""How long Insider One keeps events; older ones are accepted, but not stored.

Source: "Data Retention", https://academy.insiderone.com/docs/data-retention
"""

from __future__ import annotations

from klaviyo_insiderone_sandbox.clock import MICROSECONDS

DAY = 86_400 * MICROSECONDS

PAGE_VIEWS = (
    "homepage_view", "home_page_view", "listing_page_view", "product_detail_page_view", "cart_page_view",
    "checkout_page_view", "other_page_view", "item_added_to_cart", "item_removed_from_cart",
)  # fmt: skip

RETENTION_DAYS = {
    "purchase": 730,
    "confirmation_page_view": 730,
    "sign_up_confirmation": 365,
    "email_delivered": 365,
    "email_open": 365,
    "email_click": 365,
    **dict.fromkeys(PAGE_VIEWS, 90),
}
"""Default event -> days it is kept."""


def is_expired(event_name: str, instant: int, now: int, custom_days: int) -> bool:
    """Return whether an event is older than its retention."""
    return instant < now - RETENTION_DAYS.get(event_name, custom_days) * DAY
