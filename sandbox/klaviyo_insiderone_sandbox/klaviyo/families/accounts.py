"""The account itself; every key belongs to one."""

from __future__ import annotations

from klaviyo_insiderone_sandbox.klaviyo.reads import collection, single
from klaviyo_insiderone_sandbox.klaviyo.resource_types import ResourceType
from klaviyo_insiderone_sandbox.klaviyo.resources import Resource
from klaviyo_insiderone_sandbox.quotas import TIER_XS

THE_ACCOUNT = Resource.of(
    "SANDBX",
    test_account=True,
    contact_information={
        "default_sender_name": "Sandbox Shop",
        "default_sender_email": "hello@sandbox-shop.example",
        "website_url": "https://sandbox-shop.example",
        "organization_name": "Sandbox Shop",
        "street_address": {
            "address1": "1 Harbour Street",
            "address2": None,
            "city": "Oslo",
            "region": None,
            "country": "NO",
            "zip": "0150",
        },
    },
    industry="Software / SaaS",
    timezone="Europe/Oslo",
    preferred_currency="EUR",
    public_api_key="SANDBX",
    locale="en-US",
)
ACCOUNT = ResourceType(
    "account",
    "accounts",
    "accounts:read",
    attributes=tuple(THE_ACCOUNT.attributes),
    members=(
        r"contact_information\.(default_sender_(email|name)|organization_name|website_url|street_address)",
        r"contact_information\.street_address\.(address1|address2|city|country|region|zip)",
    ),
    kept_elsewhere=lambda _: {THE_ACCOUNT.id: THE_ACCOUNT},
)

ROUTES = (collection(ACCOUNT, TIER_XS), single(ACCOUNT, TIER_XS))
