"""Which package may know of which: what the plan of the house says, held to every import, type-only ones included."""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.conftest import ROOT

PACKAGES = {
    "klaviyo_http": ROOT / "klaviyo-http/klaviyo_http",
    "singer_delivery": ROOT / "singer-delivery/singer_delivery",
    "tap_klaviyo": ROOT / "tap-klaviyo/tap_klaviyo",
    "target_insiderone": ROOT / "target-insiderone/target_insiderone",
    "klaviyo_insiderone_sandbox": ROOT / "sandbox/klaviyo_insiderone_sandbox",
}
MAY_IMPORT = {
    "klaviyo_http": set(),
    "singer_delivery": set(),
    "tap_klaviyo": {"klaviyo_http"},
    "target_insiderone": {"singer_delivery"},
    "klaviyo_insiderone_sandbox": set(),
}
MOST_MODULES = 20
"""Of one folder: more are not taken in at a glance."""

VENDORS = re.compile("klaviyo|insider(?! a)", re.IGNORECASE)


def modules_of(package):
    """Dotted name -> file."""
    root = PACKAGES[package]
    return {
        ".".join([package, *path.relative_to(root).with_suffix("").parts]).removesuffix(".__init__"): path
        for path in root.rglob("*.py")
    }


MODULES = {name: path for package in PACKAGES for name, path in modules_of(package).items()}


def imports_of(source, modules):
    """The modules that a module's text names in its imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "a relative import"
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in modules else node.module for name in whole]
        else:
            continue
        found.update(names)
    return found & modules.keys()


IMPORTS = {name: imports_of(path.read_text(), MODULES) - {name} for name, path in MODULES.items()}


def cycle_in(imports):
    """A cycle of imports; empty if there is none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return error.args[1]
    return []


@pytest.mark.parametrize("package", PACKAGES)
def test_package_imports_are_allowed(package):
    """Package imports only what it may.

    The engine knows no vendor, Klaviyo's client no Singer, and no plugin another one.
    """
    arrows = {
        (name, imported)
        for name in modules_of(package)
        for imported in IMPORTS[name]
        if imported.partition(".")[0] not in {package, *MAY_IMPORT[package]}
    }

    assert arrows == set()


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_imports_make_no_cycle(package):
    """Each module can be understood after those that it imports."""
    assert cycle_in({name: IMPORTS[name] & modules_of(package).keys() for name in modules_of(package)}) == []


def test_engine_names_no_vendor():
    """Neither in code nor in words: what holds for one API only belongs to its target."""
    told = {
        f"{name}:{number}: {line.strip()}"
        for name, path in modules_of("singer_delivery").items()
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if VENDORS.search(line)
    }

    assert told == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_folders_stay_small(package):
    """Folders are taken in at a glance. Not counting ``__init__.py``."""
    folders = [path.parent for path in modules_of(package).values() if path.name != "__init__.py"]

    assert {str(folder): count for folder in folders if (count := folders.count(folder)) > MOST_MODULES} == {}


def test_cycles_and_arrows_are_noticed():
    """The rules themselves: an import for types only, and one inside a function, count like any other."""
    modules = {"a.one": None, "a.two": None, "b": None}
    one = "if TYPE_CHECKING:\n    from a.two import Thing\n"
    two = "def work():\n    from a import one\n    import b\n"

    imports = {"a.one": imports_of(one, modules), "a.two": imports_of(two, modules)}

    assert imports == {"a.one": {"a.two"}, "a.two": {"a.one", "b"}}
    assert set(cycle_in(imports)) == {"a.one", "a.two"}
