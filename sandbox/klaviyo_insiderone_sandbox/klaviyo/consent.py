"""Consent of a profile: its subscriptions object, and the metrics that record its changes."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal

Channel = Literal["email", "sms", "whatsapp"]
Consent = Literal["SUBSCRIBED", "UNSUBSCRIBED", "NEVER_SUBSCRIBED", "PENDING"]
Naming = Literal["new", "old"]
Reason = Literal["HARD_BOUNCE", "INVALID_EMAIL", "SPAM_COMPLAINT", "UNSUBSCRIBE", "USER_SUPPRESSED"]

_TRACKING = {
    "consent": "NEVER_SUBSCRIBED",
    "consent_timestamp": None,
    "last_updated": None,
    "created_timestamp": None,
    "metadata": None,
    "can_receive": False,
    "valid_until": None,
}
_NEVER_SMS = {
    "consent": "NEVER_SUBSCRIBED",
    "consent_timestamp": None,
    "method": None,
    "method_detail": None,
    "last_updated": None,
}

NEVER: dict[str, Any] = {
    "email": {
        "marketing": {
            "can_receive_email_marketing": True,
            "consent": "NEVER_SUBSCRIBED",
            "consent_timestamp": None,
            "last_updated": None,
            "method": None,
            "method_detail": None,
            "custom_method_detail": None,
            "double_optin": None,
            "suppression": [],
            "list_suppressions": [],
        },
        "open_tracking": _TRACKING,
        "click_tracking": _TRACKING,
    },
    "sms": {
        "marketing": {"can_receive_sms_marketing": False, **_NEVER_SMS},
        "transactional": {"can_receive_sms_transactional": False, **_NEVER_SMS},
    },
    "mobile_push": {
        "marketing": {"can_receive_push_marketing": False, "consent": "NEVER_SUBSCRIBED", "consent_timestamp": None},
    },
    "whatsapp": None,
}
"""The subscriptions of somebody who never consented to anything."""

_SUPPRESSION_METRICS: Mapping[str, str] = {
    "USER_SUPPRESSED": "Manually Suppressed from Email Marketing",
    "SPAM_COMPLAINT": "Marked Email as Spam",
    "HARD_BOUNCE": "Bounced Email",
    "INVALID_EMAIL": "Bounced Email",
}
_METRICS: Mapping[tuple[str, str], Mapping[Naming, str]] = {
    ("email", "SUBSCRIBED"): {"new": "Subscribed to Email Marketing", "old": "Subscribed to Email Marketing"},
    ("email", "UNSUBSCRIBED"): {"new": "Unsubscribed from Email Marketing", "old": "Unsubscribed"},
    ("sms", "SUBSCRIBED"): {"new": "Subscribed to Text Messaging Marketing", "old": "Subscribed to SMS Marketing"},
    ("sms", "UNSUBSCRIBED"): {
        "new": "Unsubscribed from Text Messaging Marketing",
        "old": "Unsubscribed from SMS Marketing",
    },
    ("whatsapp", "SUBSCRIBED"): {"new": "Subscribed to WhatsApp marketing", "old": "Subscribed to WhatsApp marketing"},
}


def metric_of(channel: Channel, consent: Consent, suppression: Reason | None, naming: Naming) -> str | None:
    """Name the metric that records a change; None where the change leaves no event."""
    if channel == "email" and suppression is not None and suppression in _SUPPRESSION_METRICS:
        return _SUPPRESSION_METRICS[suppression]
    return _METRICS.get((channel, consent), {}).get(naming)


def complete(given: Mapping[str, Any], default: Mapping[str, Any] = NEVER) -> dict[str, Any]:
    """Complete a partial subscriptions object with the values of somebody without consent."""
    completed = copy.deepcopy(dict(default))
    for key, value in given.items():
        inner = default.get(key)
        nested = isinstance(value, Mapping) and isinstance(inner, Mapping)
        completed[key] = complete(value, inner) if nested and inner is not None else value
    return completed


def changed(
    subscriptions: Mapping[str, Any], channel: Channel, consent: Consent, suppression: Reason | None, at: str
) -> dict[str, Any]:
    """Return *subscriptions* after a change of consent in one channel; *at* is the time in six decimals."""
    after = copy.deepcopy(dict(subscriptions))
    second = f"{at[:19]}+00:00"
    stamp = None if consent == "NEVER_SUBSCRIBED" else second
    if channel == "email":
        after["email"]["marketing"] |= _email(after["email"]["marketing"], consent, suppression, stamp, at)
    elif channel == "sms":
        reachable = consent == "SUBSCRIBED"
        common = {
            "consent": consent,
            "consent_timestamp": stamp,
            "last_updated": second,
            "method": "TEXT",
            "method_detail": None,
        }
        after["sms"]["marketing"] |= {"can_receive_sms_marketing": reachable, **common}
        after["sms"]["transactional"] |= {"can_receive_sms_transactional": reachable, **common}
    else:
        after["whatsapp"] = _whatsapp(consent, stamp, second)
    return after


def _email(
    marketing: Mapping[str, Any], consent: Consent, suppression: Reason | None, stamp: str | None, at: str
) -> dict[str, Any]:
    kept = [] if consent == "SUBSCRIBED" else [one for one in marketing["suppression"] if one["reason"] != suppression]
    reason = suppression or ("UNSUBSCRIBE" if consent == "UNSUBSCRIBED" else None)
    kept = [one for one in kept if one["reason"] != reason]
    suppressions = [*kept, {"reason": reason, "timestamp": at}] if reason else kept
    return {
        "can_receive_email_marketing": not suppressions and consent != "UNSUBSCRIBED",
        "consent": consent,
        "consent_timestamp": stamp,
        "last_updated": at,
        "method": "PREFERENCE_PAGE",
        "double_optin": consent == "PENDING" or None,
        "suppression": suppressions,
    }


def _whatsapp(consent: Consent, stamp: str | None, second: str) -> dict[str, Any]:
    one = {
        "can_receive": consent == "SUBSCRIBED",
        "consent": consent,
        "consent_timestamp": stamp,
        "last_updated": second,
        "created_timestamp": second,
        "metadata": None,
        "valid_until": None,
        "phone_number": None,
    }
    return {"marketing": one, "transactional": dict(one), "conversational": dict(one)}
