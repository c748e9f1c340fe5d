"""Every mistake in the settings is found before the first request, all in one go, with its path and what to write."""

from __future__ import annotations

import pytest
from mapping_configs import ACCOUNT, BY_EMAIL, default_mapping
from singer_delivery.errors import SettingsError
from target_insiderone.settings.findings import find, parse_settings

CANARY = "canary-4711"


def column(source_field, attribute, **more):
    return {"source_field": source_field, "attribute": attribute, **more}


def parameter(source_field, name, **more):
    return {"source_field": source_field, "parameter": name, **more}


PLANTED = {
    "partner_name": "SandboxShop",
    "api_key": "",
    "attribute_mapings": [],
    "identifier_mappings": [
        {"identifier_type": "phone", "source_field": "phone_number"},
        {"identifier_type": "email", "source_field": ""},
        {"identifier_type": "custom.", "source_field": "id"},
        {"identifier_type": "uuid", "source_field": "external_id"},
        {"identifier_type": "uuid", "source_field": "external_id"},
        {"identifier_type": "uuid", "field": "external_id"},
        {"identifier_type": "loyalty", "source_field": "card", "transform": "uper"},
    ],
    "attribute_mappings": [
        column("first_name", "first_name"),
        column("agreed", "emial_optin"),
        column("subscriptions.email.marketing.can_receive_email_marketing", "email_optin"),
        column("subscriptions.sms.marketing.consent", "sms_optin"),
        column("subscriptions.email.marketing", "gdpr_optin", transform="consent"),
        column("a", "tier"),
        column("b", "tier"),
        column("c", "city", transform="consnt"),
        column("d", "Shoe Size"),
        column("e", "c_vip"),
        column("f", "data_source"),
        column("g", "uuid"),
        column("properties.*", "rest"),
        column("h", "*"),
        column("i", "plan", transform="default"),
    ],
    "fixed_attributes": [
        {"attribute": "data_source", "value": "klaviyo"},
        {"attribute": "data_source", "value": "shop"},
        {"attribute": "country", "value": "Turkey"},
        {"attribute": "whatsapp_optin", "value": True},
    ],
    "event_mappings": [
        {"metric_name": "Placed Order", "event_type": "Placed Order"},
        {
            "metric_name": "Placed Order",
            "event_type": "purchase",
            "for_each": "",
            "parameter_mappings": [
                parameter("a", "unit_saleprice"),
                parameter("b", "qty", when="each"),
                parameter("c", "line"),
                parameter("event_properties.*", "rest"),
                parameter("d", "name"),
                parameter("e", "name"),
            ],
        },
        {"metric_name": "placed order", "event_type": "purhcase"},
        {"metric_name": "Visit", "event_type": "visit"},
        {"metric_name": "Visit", "event_type": "visit"},
        {
            "metric_name": "Order",
            "event_type": "cart_page_view",
            "for_each": "Items",
            "parameter_mappings": [parameter("a", "unit_sale_price", when="each"), parameter("b", "event_group_id")],
        },
    ],
    "default_currency": "eur",
    "phone_number_settings": {"default_country": "Turkey"},
    "identifier_settings": {"on_invalid": "skip"},
    "array_mode": "replce",
    "null_handling": "clear",
    "stream_kinds": {"customers": "profiles"},
    "batch_size_rows": 2000,
    "batch_size_bytes": 6_000_000,
    "rate_limit_per_minute": 30_000,
    "skip_hook": "yes",
    "max_rejects": "a few",
    "api_url": "http://unification.useinsider.com",
    "error_callback_endpoint": "ftp://example.com",
    "ledger_url": "ledger.db",
    "validate_records": False,
    "add_record_metadata": True,
    "load_method": "overwrite",
    "colour": "blue",
}

EXPECTED = {
    ("partner_name", "error"): "lower case",
    ("api_key", "error"): "Meltano replaces $NAME",
    ("attribute_mapings", "error"): "did you mean `attribute_mappings`?",
    ("identifier_mappings[0].identifier_type", "error"): "did you mean `phone_number`?",
    ("identifier_mappings[1].source_field", "error"): r"write \$NAME for a literal dollar",
    ("identifier_mappings[2].identifier_type", "error"): "write `custom.<name>`",
    ("identifier_mappings[4]", "error"): "remove one of the rows",
    ("identifier_mappings[5].source_field", "error"): "add `source_field`",
    ("identifier_mappings[5].field", "error"): "the keys are identifier_type, source_field, transform",
    ("identifier_mappings[6].identifier_type", "error"): "`custom.loyalty`",
    ("identifier_mappings[6].transform", "error"): "did you mean `upper`?",
    ("attribute_mappings[0].attribute", "warning"): "did you mean the default `name`?",
    ("attribute_mappings[1].attribute", "error"): "write `email_optin`",
    ("attribute_mappings[2].source_field", "error"): "map `subscriptions.<channel>.marketing`",
    ("attribute_mappings[3].transform", "error"): "write `transform: consent`",
    ("attribute_mappings[4].attribute", "error"): "remove the row",
    ("attribute_mappings[6].attribute", "error"): "list both sources in the source_field of one row",
    ("attribute_mappings[7].transform", "error"): "did you mean `consent`?",
    ("attribute_mappings[8].attribute", "warning"): "write `shoe_size`",
    ("attribute_mappings[9].attribute", "warning"): "write `vip`",
    ("attribute_mappings[10].attribute", "warning"): "remove the row, or the fixed attribute",
    ("attribute_mappings[11].attribute", "error"): "write `custom.uuid`",
    ("attribute_mappings[12].attribute", "error"): "write `*`",
    ("attribute_mappings[13].source_field", "error"): "write `properties.*`",
    ("attribute_mappings[14].transform", "error"): "write 'default:<value>'",
    ("fixed_attributes[1].attribute", "error"): "remove one",
    ("fixed_attributes[2].value", "error"): "write 'TR'",
    ("fixed_attributes[3].value", "warning"): "map Klaviyo's consent",
    ("event_mappings[0].event_type", "error"): "write `placed_order`",
    ("event_mappings[1].for_each", "error"): "Meltano replaces $NAME",
    ("event_mappings[1].parameter_mappings", "error"): "map `event_group_id`",
    ("event_mappings[1].parameter_mappings", "warning"): "map `quantity`",
    ("event_mappings[1].parameter_mappings[0].parameter", "error"): "write `unit_sale_price`",
    ("event_mappings[1].parameter_mappings[1].parameter", "warning"): "did you mean the default `quantity`?",
    ("event_mappings[1].parameter_mappings[1].when", "error"): "add for_each",
    ("event_mappings[1].parameter_mappings[2].parameter", "error"): "choose another name",
    ("event_mappings[1].parameter_mappings[3].source_field", "error"): "name each field",
    ("event_mappings[1].parameter_mappings[5].parameter", "error"): "list both sources in the source_field of one row",
    ("event_mappings[2].metric_name", "warning"): "names must match exactly",
    ("event_mappings[2].event_type", "error"): "write `purchase`",
    ("event_mappings[4]", "error"): "remove one of the rows",
    ("event_mappings[5].parameter_mappings", "warning"): "map `unit_sale_price`",
    ("default_currency", "error"): "write `EUR`",
    ("phone_number_settings.default_country", "error"): "a calling code such as +90",
    ("identifier_settings.on_invalid", "error"): "skip_record",
    ("array_mode", "error"): "did you mean `replace`?",
    ("null_handling", "error"): "one of omit, delete",
    ("stream_kinds.customers", "error"): "did you mean `profile`?",
    ("batch_size_rows", "error"): "at most 1,000 users",
    ("batch_size_bytes", "error"): "at most 5,000,000 bytes",
    ("rate_limit_per_minute", "error"): "at most 25,000 requests per minute",
    ("skip_hook", "error"): "write true or false",
    ("max_rejects", "error"): "a share as `10%`",
    ("api_url", "error"): "write https://",
    ("error_callback_endpoint", "error"): "write https://",
    ("ledger_url", "error"): "postgresql",
    ("validate_records", "error"): "remove it",
    ("add_record_metadata", "error"): "remove it",
    ("load_method", "error"): "remove it",
    ("colour", "error"): "remove it",
}


@pytest.fixture(scope="module")
def planted():
    """(path, severity) -> suggestions, for all mistakes at once."""
    found: dict[tuple[str, str], list[str]] = {}
    for finding in find(PLANTED):
        found.setdefault((finding.path, finding.severity), []).append(finding.suggestion)
    return found


@pytest.mark.req("IN-09", "IN-22", "IN-23", "IN-28")
@pytest.mark.parametrize(("place", "suggestion"), EXPECTED.items(), ids=[" ".join(place) for place in EXPECTED])
def test_planted_mistake_is_found(planted, place, suggestion):
    """Planted mistake is found with its path and a suggestion.

    One run shows them all: nobody should mend a mapping one start at a time.
    """
    assert place in planted
    assert any(suggestion in found for found in planted[place])


def test_only_planted_mistakes_are_found(planted):
    """Nothing is found beside what was planted. A false alarm on a right row would teach people to look away."""
    assert set(planted) - set(EXPECTED) == set()


@pytest.mark.req("IN-09", "IN-28")
def test_purchase_lacks_both_parameters():
    """Purchase without its hard parameters names both. Insider One refuses the whole user for either."""
    config = {**ACCOUNT, **BY_EMAIL, "event_mappings": [{"metric_name": "Placed Order", "event_type": "purchase"}]}

    errors = [finding for finding in find(config) if finding.severity == "error"]
    warnings = [finding for finding in find(config) if finding.severity == "warning"]

    assert [finding.suggestion for finding in errors] == ["map `event_group_id`", "map `unit_sale_price`"]
    assert [finding.suggestion for finding in warnings] == ["map `currency`, or set default_currency", "map `quantity`"]


@pytest.mark.req("IN-09")
@pytest.mark.parametrize("missing", ["partner_name", "api_key", "identifier_mappings"])
def test_missing_mandatory_setting_is_named(missing):
    """Also where it is null, as an unset variable may leave it."""
    config = {**ACCOUNT, **BY_EMAIL}

    for broken in ({**config, missing: None}, {name: config[name] for name in config if name != missing}):
        (finding,) = find(broken)

        assert (finding.path, finding.message, finding.severity) == (missing, "is missing", "error")


@pytest.mark.req("IN-09")
def test_identifier_is_required():
    """At least one identifier is demanded. Without one nobody could be told from anybody."""
    (finding,) = find({**ACCOUNT, "identifier_mappings": []})

    assert (finding.path, finding.message) == ("identifier_mappings", "has no row")


def test_shipped_mapping_has_no_finding():
    """Not even a warning: it is what people start from."""
    assert find({**ACCOUNT, **default_mapping()}) == []


def test_harmless_sdk_settings_pass():
    """Harmless settings of the SDK pass. Meltano may pass on what the SDK declares, with its defaults."""
    harmless = {
        "validate_records": True,
        "add_record_metadata": False,
        "load_method": "append-only",
        "stream_maps": {},
        "flattening_enabled": False,
        "batch_config": None,
    }

    assert find({**ACCOUNT, **BY_EMAIL, **harmless}) == []


@pytest.mark.parametrize(
    "api_url",
    ["https://a.example", "http://127.0.0.1:8702", "http://localhost:1", "http://[::1]:1", "http://127.0.0.2"],
)
def test_http_needs_loopback(api_url):
    """Plain HTTP is for this machine only.

    The sandbox has no certificate; a token must never cross a network in the clear.
    """
    assert find({**ACCOUNT, **BY_EMAIL, "api_url": api_url}) == []


@pytest.mark.req("IN-04")
@pytest.mark.parametrize(
    "address",
    [
        "https://a.example:0",
        "https://a.example:65536",
        "https://a.example:",
        "https://a.example:x",
        "https://a..example",
        "https://.example",
        "https://-a.example",
        "https://a.example/ ",
        "https://a b.example",
        "https://a.example\t",
        "https://user:word@a.example",
        "https://@a.example",
        "https://a.example\\@b.example",
        "https://1.2.3",
        "https://1.2.3.256",
        "https://[::1",
        "https://[1.2.3.4]",
        "https://[::1]x",
        "https://",
        "https:///x",
        "https:a.example",
        "//a.example",
        "a.example",
        "a.example:443",
        "ftp://a.example",
        "https://xn--\u00fc.example",
        "https://" + "a" * 64 + ".example",
        "https://a.example?x=1",
        "https://a.example?",
        "https://a.example#x",
    ],
)
def test_odd_address_is_an_error(address):
    """Before any request: each of these was an unforeseen ending, or retries for 15 minutes."""
    assert [finding.path for finding in find({**ACCOUNT, **BY_EMAIL, "api_url": address})] == ["api_url"]


@pytest.mark.parametrize("name", ["api_key", "ledger_url", "error_callback_endpoint", "partner_name", "max_rejects"])
@pytest.mark.parametrize("wrong", [CANARY, f"HTTP://{CANARY} /", [CANARY], {CANARY: CANARY}, 4711.5], ids=repr)
def test_findings_show_no_values(name, wrong):
    """No finding shows the value of a setting. A secret in the wrong place is still a secret."""
    findings = find({**ACCOUNT, **BY_EMAIL, name: wrong})

    shown = "\n".join(map(str, findings))
    assert CANARY not in shown
    assert "4711.5" not in shown


def test_invalid_settings_raise_all_errors():
    """Settings that cannot work raise all their errors. And no warning among them."""
    with pytest.raises(SettingsError) as refused:
        parse_settings(PLANTED)

    assert {finding.path for finding in refused.value.findings} == {
        path for path, severity in EXPECTED if severity == "error"
    }
    assert str(refused.value).count("\n") == len(refused.value.findings) - 1


@pytest.mark.parametrize(
    "broken",
    [
        {"identifier_mappings": "email"},
        {"identifier_mappings": [None, 7, {"identifier_type": 7, "source_field": {}}]},
        {"attribute_mappings": [{"source_field": [], "attribute": None, "transform": 7}]},
        {"event_mappings": [{"metric_name": [], "event_type": {}, "parameter_mappings": "x", "fixed_parameters": [0]}]},
        {"phone_number_settings": "TR", "stream_kinds": [], "fixed_attributes": {"value": 1}},
        {"fixed_attributes": [{"attribute": "country", "value": None}, {"attribute": "age"}]},
        {"api_url": "http://[", "default_currency": 7, "max_rejects": True},
    ],
    ids=repr,
)
def test_malformed_settings_are_findings_too(broken):
    """Whatever the shape: a list of findings, no traceback."""
    findings = find({**ACCOUNT, **BY_EMAIL, **broken})

    assert {finding.severity for finding in findings} >= {"error"}
