"""Writes the settings of tap and target into meltano.yml and the READMEs. ``--check`` fails where a copy is stale.

A setting is declared once, in the package's schema. Its copies are a row of the table below "Settings" in the package's
README, and an entry of the plugin's ``settings`` in meltano.yml. What stands around them is written by hand, and stays.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tap_klaviyo.settings import SETTINGS
from target_insiderone.settings.config_schema import CONFIG_JSONSCHEMA, PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Schema = Mapping[str, Any]

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ROOT / "meltano.yml"
SCHEMAS: Mapping[str, Schema] = {
    "tap-klaviyo": SETTINGS,
    "target-insiderone": CONFIG_JSONSCHEMA | {"properties": PROPERTIES},  # the SDK adds its own to the other
}
"""Plugin, and folder of its package -> its settings."""

LONGEST_LIST = 5
"""Of a default with more elements, the first is shown."""

WIDTH = 120


def written() -> dict[Path, str]:
    """The files that hold copies, as they should be."""
    project = PROJECT.read_text()
    files = {}
    for plugin, schema in SCHEMAS.items():
        readme = ROOT / plugin / "README.md"
        files[readme] = with_table(readme.read_text(), "\n".join(table(schema)))
        project = with_entries(project, plugin, "\n".join(entries(schema["properties"])))
    return files | {PROJECT: project}


def with_table(readme: str, rows: str) -> str:
    """Replace the first table below "Settings"."""
    return _replace(r"(\n## Settings\n(?:(?!#|\|).*\n)*)(?:\|.*\n)+", rows, readme)


def with_entries(project: str, plugin: str, lines: str) -> str:
    """Replace the entries of a plugin's settings, up to those of the SDK."""
    return _replace(
        rf"(\n  - name: {plugin}\n(?:    .*\n)*?    settings:\n(?:    #.*\n)*)(?:    [- ] .*\n)+", lines, project
    )


def _replace(pattern: str, lines: str, text: str) -> str:
    """Put lines in the place of what *pattern* matches, all but its first group.

    Raises:
        SystemExit: There is no such place.
    """
    replaced, count = re.subn(pattern, lambda found: f"{found[1]}{lines}\n", text, count=1)
    if not count:
        sys.exit(f"a place for settings is gone: nothing matches {pattern}")
    return replaced


def table(schema: Schema) -> Iterator[str]:
    """The table of a README; a column for units, if a setting declares one."""
    properties = schema["properties"]
    has_units = any("unit" in declared for declared in properties.values())
    yield f"| Setting | Default |{' Unit |' * has_units} Meaning |"
    yield f"|---|---|{'---|' * has_units}---|"
    for name, declared in properties.items():
        secret = " (secret)" if declared.get("secret") else ""
        default = "required" if name in schema["required"] else shown(declared.get("default"))
        unit = f" {declared.get('unit', '')} |" * has_units
        meaning = declared["description"].replace("|", r"\|").replace("<", r"\<")
        yield f"| `{name}`{secret} | {default} |{unit} {meaning} |"


def shown(default: Any) -> str:
    """A default as it stands in YAML.

    >>> shown(["a", "b"])
    '`["a", "b"]`'
    """
    if default is None:
        return "none"
    if isinstance(default, list) and len(default) > LONGEST_LIST:
        return f"`[{json.dumps(default[0])}, …]`"
    return f"`{default}`" if isinstance(default, str) else f"`{json.dumps(default)}`"


def entries(properties: Schema) -> Iterator[str]:
    """The settings of a plugin in meltano.yml: see what stands there on kinds."""
    for name, declared in properties.items():
        yield f"    - name: {name}"
        yield f"      kind: {kind(declared)}"
        if declared.get("secret"):
            yield "      sensitive: true"
        if "array" in declared["type"]:
            yield "      value_processor: stringify"
        yield f"      label: {declared['title']}"
        yield "      description: >-"
        yield textwrap.indent(
            textwrap.fill(declared["description"], WIDTH - 8, break_long_words=False, break_on_hyphens=False), " " * 8
        )


def kind(declared: Schema) -> str:
    """The Meltano kind of a setting."""
    if declared.get("secret"):
        return "password"
    return "object" if "object" in declared["type"] else "string"


def main() -> int:
    """Write the copies, or check them."""
    stale = [path for path, text in written().items() if path.read_text() != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is stale: run `make settings` and commit it", file=sys.stderr)
        return 1 if stale else 0
    for path, text in written().items():
        path.write_text(text)
    print(f"changed: {', '.join(str(path.relative_to(ROOT)) for path in stale) or 'nothing'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
