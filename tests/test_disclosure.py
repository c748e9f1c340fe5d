"""What both plugins show of names and lines; each has the module, since no plugin imports the other."""

from __future__ import annotations

from pathlib import Path

import pytest
import singer_delivery.disclosure
import tap_klaviyo.disclosure


def test_both_plugins_show_the_same():
    """One rule: what is mended in one of the two is mended in the other."""
    texts = [Path(module.__file__).read_text() for module in (tap_klaviyo.disclosure, singer_delivery.disclosure)]

    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    "name",
    [
        "profiles",
        "subscription_changes",
        "Favourite Size",
        "Größe (EU)",
        "Item 1.price",
        "api_keyy",
        "v2",
        "$value",
        "",
    ],
)
def test_plain_name_is_shown(name):
    """Otherwise messages would be incomprehensible."""
    assert singer_delivery.disclosure.shown(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "ada@example.com",
        "ada%40example.com",
        "ada\uff20example.com",
        "+905321234567",
        "0532 123 45 67",
        "(0532) 123-4567",
        "pk_0a1b2c",
        "my_pk_abcdef",
        "token-6f1e",
        "0123456789abcdef0123456789abcdef",
        "f47ac10b-58cc-4372-a567-0e02b2c3d479",
        "two\nlines",
        "\x1b[31mred",
        "a" * 61,
    ],
)
def test_personal_name_shows_its_length(name):
    """A name that may be a person or a key is shown as its length.

    Whoever pastes one into a name must not find it in a log.
    """
    assert singer_delivery.disclosure.shown(name) == f"(a name of {len(name)} characters)"


def test_hidden_names_are_told_apart():
    """Two streams whose names are hidden keep figures of their own."""
    shown = singer_delivery.disclosure.shown_once(["ada@example.com", "bob@example.com", "profiles"])

    assert list(shown.values()) == ["(a name of 15 characters)", "(a name of 15 characters) 2", "profiles"]


def test_run_files_are_named():
    """File of a run is named.

    The summary of a dry run hid its rejects file, since the time in its name is as long as a key.
    """
    path = "data/dry-run-20260601T101112Z-0a1b2c3d-rejects.jsonl"

    assert singer_delivery.disclosure.without_keys(path) == path
    assert singer_delivery.disclosure.without_keys("data/20260601T101112Z0") == "data/(a name of 17 characters)"


@pytest.mark.parametrize(
    ("line", "scrubbed"),
    [
        ("no stream 'ada@example.com' here", "no stream '(address)' here"),
        ("GET http://user:word@127.0.0.1:1/x", "GET (address)"),
        ("called +905321234567.", "called (number)."),
        ("key pk_0a1b2c3d4e", "key (key)"),
        ("run 20260601T101112Z-0a1b2c3d: 1000000000 bytes", "run 20260601T101112Z-0a1b2c3d: 1000000000 bytes"),
    ],
)
def test_line_is_scrubbed(line, scrubbed):
    """The last line of defence, for what libraries log."""
    assert singer_delivery.disclosure.scrub(line) == scrubbed
