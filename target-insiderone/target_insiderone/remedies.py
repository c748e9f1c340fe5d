"""What to do about each reason for which Insider One, or the target itself, refuses a record."""

from __future__ import annotations

REMEDIES = {
    "refused": "see `answer`; correct the record in Klaviyo or the mapping",
    "refused_request": "a request with this row alone is refused, see `answer`; correct the record or the mapping",
    "unanswered": "a request with this row alone gets no good answer, see `answer`, while others do; it may have been "
    "applied all the same: replay it later, or correct the record",
    "missing_event_parameter": "map event_group_id and unit_sale_price for purchase, or correct the event in Klaviyo",
    "invalid_event_name": "use a lower-case snake_case event_type in event_mappings",
    "invalid_email": "correct the e-mail address in Klaviyo",
    "invalid_phone_number": "correct the phone number in Klaviyo, or set phone_number_settings.default_country",
    "invalid_uuid": "map a source that holds a string or a number to uuid",
    "unknown_identifier": "use email, phone_number, uuid or custom.<name> in identifier_mappings",
    "no_identifier": "map an identifier that this record carries",
    "too_large": "the user alone is larger than a request may be; map fewer or smaller attributes",
    "unreadable": "the line is no valid Singer message; look at the tap that wrote it",
    "invalid_record": "the value does not have the type that the stream's SCHEMA declares; look at the tap",
    "invalid_datetime": "the value is no date-time; correct it in the source",
    "unforeseen": "a mistake of target-insiderone: please report the log line, and replay once it is mended",
    "stream_map_failed": "an expression of stream_maps fails for this record: correct it, then replay",
    "missing_key": "the record lacks a key property of its stream; look at the tap",
}
"""Reason code -> remedy, in one sentence."""

MAPPING_CODES = frozenset({"no_valid_identifier", "invalid_identifier", "item_is_no_object"})
"""Reason codes of the mapping, whose remedies stand where they are found."""

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
    "read_time_ahead": "records are dated ahead of this machine's clock: which of two versions is newer cannot be "
    "known by that, so all are sent, and an opt-in that may be the older one is not; set the clocks",
    "unknown_consent": "{field} holds words that say neither yes nor no (known: SUBSCRIBED, UNSUBSCRIBED, "
    "NEVER_SUBSCRIBED, PENDING, true, false): no opt-in of these people goes, not even an opt-out; correct them where "
    "they come from, or by a stream map; those of a property by `transform: ['map:{{…}}', consent]`",
    "currency_missing": "events of type {field} carry no currency; map one, or set default_currency",
}
"""Code of a note -> what to change, said once a run and field."""
