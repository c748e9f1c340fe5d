"""Insider One's default names: attributes, event parameters, event types.

Sources: Upsert User Data, Default Attributes, Default Events and Data Retention under
https://academy.insiderone.com/docs/, and the "Insider One APIs" collection at https://developers.insiderone.com/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from singer_delivery.mapping.columns import ValueType

IDENTIFIERS = ("email", "phone_number", "uuid")
"""The identifier types besides ``custom.<name>``."""

PROFILE_FIELDS = frozenset(
    {"email", "phone_number", "external_id", "anonymous_id", "first_name", "last_name", "organization", "locale"}
    | {"title", "image", "created", "updated", "last_event_date", "location", "properties", "whatsapp_bsuid"}
)
"""Fields of a Klaviyo profile that tap-klaviyo can add to events (`event_profile_fields`)."""

OPT_INS = ("email_optin", "sms_optin", "whatsapp_optin")
"""Opt-ins by channel; ``gdpr_optin`` is not one of them: false disables the whole person."""

ATTRIBUTES: Mapping[str, ValueType] = {
    "email": "string",
    "phone_number": "string",
    "uuid": "string",
    "email_optin": "boolean",
    "sms_optin": "boolean",
    "whatsapp_optin": "boolean",
    "gdpr_optin": "boolean",
    "name": "string",
    "surname": "string",
    "birthday": "birthday",
    "gender": "string",
    "age": "number",
    "language": "string",
    "lo": "string",
    "country": "country",
    "city": "string",
    "static_segment_id": "numbers",
}
"""Default attribute, at the root of ``attributes`` -> its type."""

PARAMETERS: Mapping[str, ValueType] = {
    "event_group_id": "order_id",
    "product_id": "string",
    "name": "string",
    "taxonomy": "strings",
    "url": "string",
    "product_image_url": "string",
    "currency": "string",
    "quantity": "integer",
    "unit_price": "number",
    "unit_sale_price": "number",
    "locale": "string",
    "color": "string",
    "size": "string",
    "shipping_cost": "string",
    "promotion_name": "string",
    "promotion_discount": "number",
    "voucher_name": "string",
    "voucher_discount": "number",
    "stock": "plain",
    "category": "plain",
    "unit_size": "plain",
    "variant_id": "plain",
    "referrer": "plain",
    "user_agent": "plain",
    "source": "plain",
    "device_type": "plain",
    "session_id": "plain",
    "campaign_id": "plain",
    "campaign_name": "plain",
}
"""Default event parameter, at the root of ``event_params`` -> its type (``plain``: not documented)."""

REQUIRED_PARAMETERS: Mapping[str, tuple[str, ...]] = dict.fromkeys(
    ("purchase", "confirmation_page_view", "cart_page_view"), ("event_group_id", "unit_sale_price")
)
"""Purchase-like event type -> required parameters, without which it is refused."""

EXPECTED_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "purchase": ("currency", "quantity"),
    "confirmation_page_view": ("currency", "quantity"),
    "cart_page_view": ("currency",),
}
"""Purchase-like event type -> parameters that are documented as required, but not enforced by the API."""

RETENTION_DAYS: Mapping[str, int] = {
    "purchase": 730,
    "confirmation_page_view": 730,
    "homepage_view": 90,
    "home_page_view": 90,
    "listing_page_view": 90,
    "product_detail_page_view": 90,
    "cart_page_view": 90,
    "checkout_page_view": 90,
    "other_page_view": 90,
    "item_added_to_cart": 90,
    "item_removed_from_cart": 90,
    "sign_up_confirmation": 365,
    "email_delivered": 365,
    "email_open": 365,
    "email_click": 365,
}
"""Default event type -> days that Insider One keeps it; every other type is custom. Source: Data Retention."""

CUSTOM_NAMES_LIMIT = 80
"""Limit of custom attributes per account, and of custom parameters per event, unless Insider One raises it."""

EVENT_ID_PARAMETER = "klaviyo_event_id"
LINE_PARAMETER = "line"
RESERVED_PARAMETERS = (EVENT_ID_PARAMETER, LINE_PARAMETER)
"""Custom parameters written by the target itself: they distinguish equal events, and keep a replay identical."""


def custom_name(name: str, defaults: Mapping[str, ValueType]) -> str | None:
    """The name under ``custom``; None for a default name.

    >>> custom_name("loyalty_tier", ATTRIBUTES), custom_name("custom.name", ATTRIBUTES), custom_name("name", ATTRIBUTES)
    ('loyalty_tier', 'name', None)
    """
    if name in defaults:
        return None
    return name.removeprefix("custom.")


def full_name(name: str, defaults: Mapping[str, ValueType]) -> str:
    """The full name, so that two spellings of one name are equal.

    >>> full_name("tier", ATTRIBUTES), full_name("custom.tier", ATTRIBUTES), full_name("name", ATTRIBUTES)
    ('custom.tier', 'custom.tier', 'name')
    """
    custom = custom_name(name, defaults)
    return name if custom is None else f"custom.{custom}"
