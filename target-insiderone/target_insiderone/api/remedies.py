"""What to do about each reason for which Insider One refuses a record; the engine has its own."""

from __future__ import annotations

REMEDIES = {
    "refused": "see `answer`; correct the record in Klaviyo or the mapping",
    "refused_request": "Insider One answers 400 to a request with this row alone; correct the record or the mapping",
    "missing_event_parameter": "map event_group_id and unit_sale_price for purchase, or correct the event in Klaviyo",
    "invalid_event_name": "use a lower-case snake_case event_type in event_mappings",
    "invalid_email": "correct the e-mail address in Klaviyo",
    "invalid_phone_number": "correct the phone number in Klaviyo, or set phone_number_settings.default_country",
    "invalid_uuid": "map a source that holds a string or a number to uuid",
    "no_valid_identifier": "correct the value in Klaviyo, or map a further identifier",
    "invalid_identifier": "correct the value in Klaviyo, or set identifier_settings.on_invalid to skip_identifier",
    "item_is_no_object": "an item of the list is no object: correct what writes the event, or remove for_each",
    "unknown_identifier": "use email, phone_number, uuid or custom.<name> in identifier_mappings",
}
"""Reason code -> remedy, in one sentence."""

SKIP_HOOK = (
    "some requests carry `skip_hook: true`, so that they start no journey; Insider One must have enabled that for your "
    "organisation (ask your Insider One contact), otherwise journeys may start all the same"
)
"""Said once by every run that sets the flag."""

NOTE_HINTS = {
    "profile_field_missing": "its events carry no profile field `{field}`, which identifier_mappings names; add it to "
    "the tap's event_profile_fields, or remove the mapping",
    "too_many_custom_attributes": "a profile has more than 80 custom attributes, Insider One's limit unless it "
    "was raised for you; what exceeds it is lost there: map fewer",
    "currency_missing": "events of type {field} carry no currency; map one, or set default_currency",
}
"""Code of a note -> what to change, said once a run and field."""
