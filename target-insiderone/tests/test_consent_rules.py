"""Klaviyo's consent becomes Insider One's opt-ins: the pure rules CO-01 to CO-04."""

from __future__ import annotations

import pytest
from mapping_configs import ADA, settings_of
from target_insiderone.mapping import compile_profiles

BY_EMAIL_AND_PHONE = [
    {"identifier_type": "email", "source_field": "email"},
    {"identifier_type": "phone_number", "source_field": "phone_number"},
]


def optin(channel, transform="consent", source="subscriptions.{}.marketing"):
    return {"source_field": source.format(channel), "attribute": f"{channel}_optin", "transform": transform}


def map_profile(record, *rows, **config):
    settings = settings_of(
        attribute_mappings=[*rows, {"source_field": "id", "attribute": "klaviyo_id"}],
        **{"identifier_mappings": BY_EMAIL_AND_PHONE, **config},
    )
    return compile_profiles(settings)({**ADA, "phone_number": "+4799900001", **record})


def agreed(channel, consent, **more):
    return {"subscriptions": {channel: {"marketing": {"consent": consent, **more}}}}


@pytest.mark.req("CO-01")
@pytest.mark.parametrize("channel", ["email", "sms", "whatsapp"])
@pytest.mark.parametrize(
    ("consent", "transform", "sent"),
    [
        pytest.param("SUBSCRIBED", "consent", True, id="subscribed"),
        pytest.param("UNSUBSCRIBED", "consent", False, id="unsubscribed"),
        pytest.param("NEVER_SUBSCRIBED", "consent", None, id="never"),
        pytest.param("NEVER_SUBSCRIBED", "consent:never=false", False, id="never, as false by option"),
        pytest.param("SUBSCRIBED", "consent:never=false", True, id="subscribed, with the option"),
        pytest.param("PENDING", "consent", None, id="pending double opt-in"),
        pytest.param("PENDING", "consent:never=false", None, id="pending, with the option"),
        pytest.param("WORD_OF_2030", "consent", None, id="unknown word"),
        pytest.param(None, "consent", None, id="null"),
        pytest.param(7, "consent", None, id="not even a word"),
        pytest.param("", "consent", None, id="blank"),
        pytest.param("unsubscribed", "consent", False, id="lower case"),
        pytest.param(" Subscribed ", "consent", True, id="mixed case, and blanks"),
        pytest.param("never_subscribed", "consent:never=false", False, id="never, in lower case"),
        pytest.param(False, "consent", False, id="false"),
        pytest.param(True, "consent", True, id="true"),
        pytest.param("false", "consent", False, id="false as text"),
    ],
)
def test_consent_decides_the_optin(channel, consent, transform, sent):
    """Only a yes is a yes, only a no is a no."""
    attributes = map_profile(agreed(channel, consent), optin(channel, transform)).user["attributes"]

    assert attributes.get(f"{channel}_optin") is sent


@pytest.mark.req("CO-01")
@pytest.mark.parametrize(
    ("consent", "is_noted"),
    [("OPTED_OUT", True), (0, True), (["UNSUBSCRIBED"], True), ("PENDING", False), ("", False), (None, False)],
    ids=repr,
)
def test_unknown_consent_is_noted(consent, is_noted):
    """Consent in unknown words is noted.

    Opt-outs were lost without a word where somebody wrote them in words of their own.
    """
    notes = map_profile(agreed("email", consent), optin("email")).notes

    assert notes == ((("unknown_consent", "subscriptions.email.marketing"),) if is_noted else ())


@pytest.mark.req("CO-01")
def test_property_consent_can_be_translated():
    """Consent in a property can be translated. As the hint of `unknown_consent` says."""
    row = {"source_field": "agreed", "attribute": "email_optin"}
    row["transform"] = ['map:{"OPTED_OUT": "UNSUBSCRIBED", "*": "PENDING"}', "consent"]

    mapped = map_profile({"properties": {"agreed": "OPTED_OUT"}}, row)

    assert mapped.user["attributes"]["email_optin"] is False


@pytest.mark.req("CO-01")
def test_consent_path_may_be_named():
    """Consent may be named by its own path. ``...marketing.consent`` reads as naturally as ``...marketing``."""
    row = optin("email", source="subscriptions.{}.marketing.consent")

    mapped = map_profile(agreed("email", "SUBSCRIBED"), row)

    assert mapped.user["attributes"]["email_optin"] is True


@pytest.mark.req("CO-02")
@pytest.mark.parametrize("source", ["subscriptions.{}.marketing", "subscriptions.{}.marketing.consent"])
@pytest.mark.parametrize("reason", ["HARD_BOUNCE", "INVALID_EMAIL", "SPAM_COMPLAINT", "UNSUBSCRIBE", "USER_SUPPRESSED"])
def test_suppression_is_an_optout(source, reason):
    """Suppression is an optout whatever the consent.

    Klaviyo would not write to that person either; ``can_receive_...`` may still say otherwise.
    """
    record = agreed(
        "email", "SUBSCRIBED", can_receive_email_marketing=True, suppression=[{"reason": reason, "timestamp": "2026"}]
    )

    assert map_profile(record, optin("email", source=source)).user["attributes"]["email_optin"] is False


@pytest.mark.req("CO-02")
@pytest.mark.parametrize("consent", ["NEVER_SUBSCRIBED", "UNSUBSCRIBED", "SUBSCRIBED"])
@pytest.mark.parametrize("reachable", [True, False])
def test_reachability_is_never_used(consent, reachable):
    """``can_receive_email_marketing`` is true for people who never agreed."""
    with_it = map_profile(agreed("email", consent, can_receive_email_marketing=reachable), optin("email"))
    without_it = map_profile(agreed("email", consent), optin("email"))

    assert with_it.user == without_it.user


@pytest.mark.req("CO-03")
@pytest.mark.parametrize(
    "record", [{}, {"subscriptions": None}, {"subscriptions": {}}, {"subscriptions": {"email": None}}], ids=repr
)
@pytest.mark.parametrize("null_handling", ["omit", "delete"])
def test_no_subscriptions_no_optin(record, null_handling):
    """What was not read is no decision: neither sent, nor cleared."""
    rows = [optin(channel) for channel in ("email", "sms", "whatsapp")]

    mapped = map_profile(record, *rows, null_handling=null_handling)

    assert mapped.user["attributes"] == {"custom": {"klaviyo_id": "01ADA"}}
    assert mapped.delete == {}
    assert mapped.optins == {}


@pytest.mark.req("CO-03")
@pytest.mark.parametrize("phone", [None, "", "12"], ids=["none", "empty", "invalid"])
def test_sms_optin_needs_phone(phone):
    """`sms_optin` needs a phone identifier.

    A permission without a number would pass to the next number that the profile gets.
    """
    mapped = map_profile({**agreed("sms", "SUBSCRIBED"), "phone_number": phone}, optin("sms"))

    assert "sms_optin" not in mapped.user["attributes"]
    assert mapped.optins == {}
    assert ("optin_without_phone_number", "sms_optin") in mapped.notes


@pytest.mark.req("CO-03")
def test_sms_optout_needs_no_phone():
    """`sms_optin: false` is sent without a phone identifier. A no harms nobody."""
    mapped = map_profile({**agreed("sms", "UNSUBSCRIBED"), "phone_number": None}, optin("sms"))

    assert mapped.user["attributes"]["sms_optin"] is False


@pytest.mark.req("CO-04")
@pytest.mark.parametrize("consent", ["SUBSCRIBED", "UNSUBSCRIBED"])
def test_gdpr_optin_is_never_derived(consent):
    """False there stops every channel and all processing: no consent of one channel means that."""
    rows = [optin(channel) for channel in ("email", "sms", "whatsapp")]
    record = {"subscriptions": {channel: {"marketing": {"consent": consent}} for channel in ("email", "sms")}}

    attributes = map_profile(record, *rows).user["attributes"]

    assert set(attributes) == {"email_optin", "sms_optin", "custom"}
    assert set(attributes["custom"]) == {"klaviyo_id"}


def test_optins_identify_their_decision():
    """Opt-ins carry a string that distinguishes decisions.

    The caller sends an opt-in again only when value or time differ from what was delivered.
    """
    record = {
        "subscriptions": {
            "email": {"marketing": {"consent": "SUBSCRIBED", "consent_timestamp": "2026-08-14T09:12:40+00:00"}},
            "sms": {"marketing": {"consent": "UNSUBSCRIBED", "consent_timestamp": None}},
            "whatsapp": {"marketing": {"consent": "NEVER_SUBSCRIBED"}},
        }
    }

    mapped = map_profile(record, *(optin(channel) for channel in ("email", "sms", "whatsapp")))

    assert mapped.optins == {
        "email_optin": (True, "SUBSCRIBED 2026-08-14T09:12:40+00:00"),
        "sms_optin": (False, "UNSUBSCRIBED None"),
    }


@pytest.mark.parametrize("given", ["true", "yes", 1, "SUBSCRIBED", [True]], ids=repr)
def test_plain_optin_needs_boolean(given):
    """Optin without a transform takes booleans only.

    An opt-in is not guessed: ``transform: boolean`` says what a word means.
    """
    mapped = map_profile({"properties": {"agreed": given}}, {"source_field": "agreed", "attribute": "email_optin"})

    assert "email_optin" not in mapped.user["attributes"]
    assert mapped.notes == (("not_a_boolean", "agreed"),)


def test_property_optin_is_a_decision():
    """Optin from a property counts as a decision too.

    Shops that keep consent in a property get the same protection of later opt-outs.
    """
    row = {"source_field": "agreed", "attribute": "email_optin", "transform": "boolean"}

    mapped = map_profile({"properties": {"agreed": "yes"}}, row)

    assert mapped.optins == {"email_optin": (True, "yes")}
