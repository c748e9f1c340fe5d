"""Klaviyo's consent -> Insider One's opt-ins.

``consent`` says what a person agreed to, ``can_receive_...`` whom Klaviyo may reach: only the first is a permission,
and only it is read. Source: Klaviyo's profile object, ``subscriptions``
(https://developers.klaviyo.com/en/reference/get_profiles); Insider One, Email Channel Subscription Management.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from singer_delivery.memory.digests import shortened

if TYPE_CHECKING:
    from collections.abc import Callable

SUBSCRIBED = "SUBSCRIBED"
UNSUBSCRIBED = "UNSUBSCRIBED"
NEVER_SUBSCRIBED = "NEVER_SUBSCRIBED"
CONSENT_SUFFIX = ".consent"
NEVER_IS_FALSE = "never=false"
"""The argument of the transform that sends false for a person who never subscribed."""


def compile_consent(*, never_is_false: bool) -> Callable[[Any], bool | None]:
    """Compile the rule of one channel: its marketing object, or its bare consent value -> opt-in, None: left out.

    Shape: ``{"consent": "SUBSCRIBED", "consent_timestamp": "...", "suppression": [{"reason": "..."}]}``. A suppression
    of any reason is false, whatever the consent. Pending double opt-ins, and words not known, are left out.
    """
    answers = {SUBSCRIBED: True, UNSUBSCRIBED: False}
    if never_is_false:
        answers[NEVER_SUBSCRIBED] = False

    def to_optin(value: Any) -> bool | None:
        if type(value) is not dict:
            return answers.get(value) if type(value) is str else None
        if value.get("suppression"):
            return False
        consent = value.get("consent")
        return answers.get(consent) if type(consent) is str else None

    return to_optin


def consent_stamp(value: Any) -> str:
    """Write what identifies one decision of a person: Klaviyo's consent value and its time, or that of the suppression.

    >>> consent_stamp({"consent": "SUBSCRIBED", "consent_timestamp": "2026-08-14T09:12:40+00:00"})
    'SUBSCRIBED 2026-08-14T09:12:40+00:00'
    """
    if type(value) is dict:
        stamp = f"{value.get('consent')} {value.get('consent_timestamp')}"
        suppression = value.get("suppression")
        suppressed = _suppressed_at(suppression) if suppression else ""
        return shortened(f"{stamp} {suppressed}" if suppressed else stamp)
    return shortened(str(value))


def _suppressed_at(suppression: Any) -> str:
    times = (
        [one.get("timestamp") for one in suppression or () if type(one) is dict] if type(suppression) is list else []
    )
    return max((at for at in times if type(at) is str), default="")


def consent_source(source: str) -> str:
    """Read the whole object of a channel where a mapping names its ``consent`` alone: the suppression stands beside it.

    >>> consent_source("subscriptions.email.marketing.consent")
    'subscriptions.email.marketing'
    """
    return source.removesuffix(CONSENT_SUFFIX) if source.startswith("subscriptions.") else source
