"""Building blocks of resources as JSON:API text.

Text is put together from stored pieces instead of being encoded anew: it keeps every number as it was given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from klaviyo_insiderone_sandbox.exact_json import join_object, split_object

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Selection:
    """The attributes of a resource to show: names, and members of nested ones."""

    names: tuple[str, ...]
    members: dict[str, tuple[tuple[str, ...], ...]]
    """Attribute -> paths of the members shown; absent = all of them."""

    def cut(self, name: str, text: str) -> str:
        """Reduce a nested attribute to the members asked for."""
        paths = self.members.get(name)
        return text if paths is None else picked(text, paths)


def selection(every: Sequence[str], asked: Sequence[str] | None, additional: Sequence[str] = ()) -> Selection:
    """Resolve sparse fields: *every* documented attribute, or those *asked* for by name or dotted path.

    Attributes shown only on request, *additional*, are shown whole unless sparse fields name members of them.
    """
    if asked is None:
        return Selection((*every, *additional), {})
    tops = {path.split(".")[0] for path in asked}
    members = {
        top: tuple(tuple(path.split(".")[1:]) for path in asked if path.startswith(f"{top}."))
        for top in tops
        if top not in asked
    }
    return Selection((*(name for name in every if name in tops), *additional), members)


def picked(text: str, paths: Sequence[tuple[str, ...]]) -> str:
    """Keep the members of a JSON object that are on one of *paths*."""
    if text == "null" or any(not path for path in paths):
        return text
    kept = {}
    for name, value in split_object(text).items():
        inner = [path[1:] for path in paths if path[0] == name]
        if inner:
            kept[name] = picked(value, inner)
    return join_object(kept)


def relationship(url: str, name: str, data: str | None) -> str:
    """Compose one relationship; *data* is JSON text, None where the relationship is not resolved."""
    shown_data = "" if data is None else f'"data":{data},'
    return f'"{name}":{{{shown_data}"links":{{"self":"{url}/relationships/{name}/","related":"{url}/{name}/"}}}}'
