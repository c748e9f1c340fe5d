"""Remedies for Insider One's reason codes; the engine has its own."""

from __future__ import annotations

REMEDIES = {
    "refused": "see `answer`; correct the record in Klaviyo or the mapping",
    "missing_event_parameter": "map event_group_id and unit_sale_price for purchase, or correct the event in Klaviyo",
    "invalid_event_name": "use a lower-case snake_case event_type in event_mappings",
    "invalid_email": "correct the e-mail address in Klaviyo",
    "invalid_phone_number": "correct the phone number in Klaviyo, or set phone_number_settings.default_country",
    "invalid_uuid": "map a source that holds a string or a number to uuid",
    "no_valid_identifier": "correct the value in Klaviyo, or map another identifier",
    "invalid_identifier": "correct the value in Klaviyo, or set identifier_settings.on_invalid to skip_identifier",
    "item_is_no_object": "an item of the list is not an object: correct the event's source, or remove for_each",
    "unknown_identifier": "use email, phone_number, uuid or custom.<name> in identifier_mappings",
}
"""Reason code -> remedy, in one sentence."""

SKIP_HOOK = (
    "some requests carry `skip_hook: true`, so that they start no journey; Insider One must have enabled that for your "
    "organisation (ask your Insider One contact), otherwise journeys may still start"
)
"""Logged once by every run that sets the flag."""

NOTE_HINTS = {
    "profile_field_missing": "its events carry no profile field `{field}`, which identifier_mappings names; add it to "
    "the tap's event_profile_fields, or remove the mapping",
    "too_many_custom_attributes": "a profile has more than 80 custom attributes, Insider One's limit unless it "
    "was raised for you; those above the limit are lost there: map fewer",
    "unknown_consent": "{field} contains words that mean neither yes nor no (known: SUBSCRIBED, UNSUBSCRIBED, "
    "NEVER_SUBSCRIBED, PENDING, true, false): neither opt-ins nor opt-outs of these people are sent; correct the words "
    "at their source, or with a stream map; those of a property with `transform: ['map:{{…}}', consent]`",
    "currency_missing": "events of type {field} carry no currency; map one, or set default_currency",
}
"""Note code -> what to change; logged once per run and field."""
