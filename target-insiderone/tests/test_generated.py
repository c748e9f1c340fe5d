"""The function written from a mapping does what its rows say one by one, whatever stands in the record."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from singer_delivery.mapping.generated import compile_fill, compile_get
from singer_delivery.mapping.sources import NO_ITEM, compile_source
from singer_delivery.mapping.values import UnusableValueError, is_blank
from target_insiderone.mapping.fits import compile_column
from target_insiderone.mapping.vocabulary import PARAMETERS

BAG = "event_properties"
KEYS = ("a", "b", "c", "a.b", "b.c", "0")

names = st.sampled_from(["a", "b", "a.b", "a.b", "a.b.c", "a.b.c", "b.0.c", "c[0]", f"{BAG}.a", f"{BAG}.a.b"])
blanks = st.sampled_from([[], {}, [None], [""]])
scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.decimals(0, 9, places=2) | st.sampled_from(["", "x", "7"])
lowest = st.dictionaries(st.sampled_from(KEYS), scalars, max_size=3)
middle = st.dictionaries(st.sampled_from(KEYS), scalars | lowest | lowest, max_size=4)
values = scalars | blanks | middle | middle | st.lists(scalars | lowest, max_size=2)
objects = st.dictionaries(st.sampled_from(KEYS), values, max_size=5)
bags = (objects | values).map(lambda inside: {BAG: inside}) | st.just({})
records = st.builds(lambda record, bag: record | bag, objects, bags)
columns = st.builds(
    lambda name, sources, transforms: compile_column(name, sources, transforms, defaults=PARAMETERS),
    st.sampled_from([*PARAMETERS, "custom.name", "tier"]),
    st.lists(names, min_size=1, max_size=3),
    st.sampled_from(
        [[], ["string"], ["first"], ["default:1"], ["json", "upper"], ["number", "default:x"], ["integer", "default:1"]]
    ),
)


def one_by_one(mapped, record, item):
    """The result of the rows, each with its own functions."""
    root, custom, notes = {}, {}, []
    for column in mapped:
        try:
            _, value = column.convert(compile_source(column.sources, BAG)(record, item))
        except UnusableValueError as error:
            value = first_usable(column, record, item)
            if value is None:
                held = [compile_source([source], BAG)(record, item) for source in column.sources]
                notes += [(error.code, column.source)] if any(v is not None and not is_blank(v) for v in held) else []
        if value is not None:
            (custom if column.custom else root)[column.name] = value
    return root, custom, notes


def first_usable(column, record, item):
    """The result of the first source with a usable value, else the default."""
    held = [compile_source([source], BAG)(record, item) for source in column.sources]
    for value in [*(value for value in held if value is not None and not is_blank(value)), None]:
        if value is None and not column.fills_null:
            continue
        with suppress(UnusableValueError):
            if (converted := column.convert(value)[1]) is not None:
                return converted
    return None


@pytest.mark.req("IN-11", "IN-26")
@settings(max_examples=400, deadline=None)
@given(st.lists(columns, max_size=4), records, objects, st.booleans())
def test_generated_function_matches_rows(mapped, record, item, with_item):
    """All rows at once give the same results as one by one.

    Speed must not change one value: not where a key holds dots, a path meets a list, or a null ends the search.
    """
    if not with_item:
        item = NO_ITEM
    root, custom = {}, {}

    notes = compile_fill(mapped, BAG, with_item=with_item)(record, item, root, custom)

    assert repr((root, custom, notes)) == repr(one_by_one(mapped, record, item))


@pytest.mark.req("IN-11")
@settings(max_examples=300, deadline=None)
@example(["a.b"], {"a": {"b": 1}, "a.b": 2})
@example(["a.b"], {"a": {"b": 1}, BAG: {"a.b": 2}})
@example(["a.b"], {"a": {"c": 1}, BAG: {"a": {"b": 2}}})
@example(["a.b.c"], {"a": {"b": {"c": 1}, "b.c": 2}})
@example(["a.b.c", "b"], {"a": {"b": {"c": None}}, "b": 2})
@given(st.lists(names, min_size=1, max_size=3), records)
def test_generated_source_matches(sources, record):
    """A source read alone gives the same. Opt-ins are read by themselves."""
    assert compile_get(sources, BAG)(record, NO_ITEM) == compile_source(sources, BAG)(record, NO_ITEM)


def test_setting_names_stay_literals():
    """A name from the settings stays a name.

    It becomes part of a program: whatever it holds, it must be no more than text there.
    """
    name = '"); raise SystemExit("ran") #\'{}\\'
    column = compile_column(f"custom.{name}", [name, f"{name}.x"], [], defaults=PARAMETERS)
    custom: dict[str, object] = {}

    compile_fill([column], BAG, with_item=True)({name: "value"}, NO_ITEM, {}, custom)

    assert custom == {name: "value"}
