"""Compiles mapping rows to columns: at the root or under ``custom``, with the type that Insider One expects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from singer_delivery.mapping import columns

from target_insiderone.mapping.transforms import compile_transforms
from target_insiderone.mapping.vocabulary import custom_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from singer_delivery.mapping.columns import Column, ValueType

    from target_insiderone.mapping.rows import FixedValue


def compile_column(
    name: str, sources: Sequence[str], transforms: Sequence[str], *, defaults: Mapping[str, ValueType]
) -> Column:
    """Compile one row of a mapping; *defaults*: names at the root -> type."""
    custom = custom_name(name, defaults)
    value_type = "plain" if custom is not None else defaults[name]
    apply = compile_transforms(transforms)
    return columns.compile_column(custom or name, value_type, sources, transforms, apply, custom=custom is not None)


def split_fixed(
    values: Iterable[FixedValue], defaults: Mapping[str, ValueType]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split fixed values into those at the root and those under ``custom``, by name."""
    named = [(custom_name(fixed.name, defaults), fixed) for fixed in values]
    root = {fixed.name: fixed.value for custom, fixed in named if custom is None}
    return root, {custom: fixed.value for custom, fixed in named if custom is not None}
