"""Maps Klaviyo's consent to Insider One's opt-ins.

``consent`` says what a person agreed to, ``can_receive_...`` whom Klaviyo can reach: only the first is a permission,
and only that is read. Source: Klaviyo's profile object, ``subscriptions``
(https://developers.klaviyo.com/en/reference/get_profiles); Insider One, Email Channel Subscription Management.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from singer_delivery.mapping.dates import read_moment
from singer_delivery.mapping.values import UnusableValueError, is_blank, trim
from singer_delivery.memory.digests import shortened

if TYPE_CHECKING:
    from collections.abc import Callable

SUBSCRIBED = "SUBSCRIBED"
UNSUBSCRIBED = "UNSUBSCRIBED"
NEVER_SUBSCRIBED = "NEVER_SUBSCRIBED"
PENDING = "PENDING"
CONSENT_SUFFIX = ".consent"
Z_LENGTH, OFFSET_LENGTH = len("2026-08-14T09:12:40Z"), len("2026-08-14T09:12:40+00:00")
NEVER_IS_FALSE = "never=false"
"""The argument of the transform that sends false for a person who never subscribed."""


def compile_consent(*, never_is_false: bool) -> Callable[[Any], bool | None]:
    """Compile the rule of one channel: its marketing object, or its plain consent value -> opt-in, or None (left out).

    Shape: ``{"consent": "SUBSCRIBED", "consent_timestamp": "...", "suppression": [{"reason": "..."}]}``. A suppression
    for any reason is false, whatever the consent. Pending double opt-ins are left out. Words are accepted in any case,
    and so are true and false; for other words the result raises UnusableValueError.
    """
    answers: dict[str, bool | None] = {
        SUBSCRIBED: True,
        UNSUBSCRIBED: False,
        NEVER_SUBSCRIBED: False if never_is_false else None,
        PENDING: None,
        "TRUE": True,
        "FALSE": False,
    }

    def to_optin(value: Any) -> bool | None:
        if type(value) is dict:
            if value.get("suppression"):
                return False
            value = value.get("consent")
        if value is None or type(value) is bool:
            return value
        if type(value) is not str:
            raise UnusableValueError("unknown_consent")
        word = value if value in answers else trim(value).upper()
        if word in answers:
            return answers[word]
        if is_blank(value) or word.startswith(PENDING):
            return None
        raise UnusableValueError("unknown_consent")

    return to_optin


def consent_stamp(value: Any) -> str:
    """A string that identifies one decision of a person: the consent value, its time, and that of a suppression.

    >>> consent_stamp({"consent": "SUBSCRIBED", "consent_timestamp": "2026-08-14T09:12:40+00:00"})
    'SUBSCRIBED 2026-08-14T09:12:40+00:00'
    """
    if type(value) is dict:
        stamp = f"{value.get('consent')} {_written(value.get('consent_timestamp'))}"
        suppression = value.get("suppression")
        suppressed = _suppressed_at(suppression) if suppression else ""
        return shortened(f"{stamp} {suppressed}" if suppressed else stamp)
    return shortened(str(value))


def _suppressed_at(suppression: Any) -> str:
    times = (
        [one.get("timestamp") for one in suppression or () if type(one) is dict] if type(suppression) is list else []
    )
    return max((_written(at) for at in times if type(at) is str), default="")


def _written(at: Any) -> str:
    """Format a time as Klaviyo does; invalid times stay unchanged."""
    if type(at) is str and at[10:11] == "T":
        if len(at) == OFFSET_LENGTH and at.endswith("+00:00"):
            return at
        if len(at) == Z_LENGTH and at[-1] == "Z":
            return f"{at[:-1]}+00:00"
    try:
        return read_moment(at).isoformat()
    except UnusableValueError:
        return str(at)


def consent_source(source: str) -> str:
    """The path of a channel's object, if a mapping names only its ``consent``, which excludes the suppression.

    >>> consent_source("subscriptions.email.marketing.consent")
    'subscriptions.email.marketing'
    """
    return source.removesuffix(CONSENT_SUFFIX) if source.startswith("subscriptions.") else source
