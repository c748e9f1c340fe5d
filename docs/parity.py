"""Writes parity.md: every requirement with the tests that prove it. ``--check`` fails where the file is stale.

The tests are those that pytest collects with ``@pytest.mark.req(id)``. A test that is skipped everywhere proves
nothing; one that is skipped in some places is listed with the reason.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DOCS = Path(__file__).resolve().parent
PARITY = DOCS / "parity.md"
REQUIREMENTS = DOCS / "requirements.toml"

Groups = dict[str, dict[str, str]]
Proofs = dict[str, set[str]]
"""Requirement id -> tests, as they stand in the table."""


class MarkerCollector:
    """A pytest plugin that notes which test names which requirement."""

    def __init__(self) -> None:
        self.proofs: Proofs = defaultdict(set)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Read the markers of everything that was collected."""
        for item in session.items:
            if item.get_closest_marker("skip") is None:
                for marker in item.iter_markers("req"):
                    for requirement in marker.args:
                        self.proofs[requirement].add(reference(item))


def reference(item: pytest.Item) -> str:
    """How a test stands in the table: file and name, without parameters."""
    name = item.nodeid.split("[")[0]
    conditional = item.get_closest_marker("skipif")
    return f"`{name}`" + (f" ({conditional.kwargs['reason']})" if conditional else "")


def collect() -> Proofs:
    """Let pytest collect all tests of the repository.

    Raises:
        SystemExit: A test module cannot be imported.
    """
    collector = MarkerCollector()
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", f"--rootdir={DOCS.parent}"], [collector])
    if code:
        sys.exit(f"pytest could not collect the tests:\n{said.getvalue()}")
    return collector.proofs


def page(groups: Groups, proofs: Proofs) -> str:
    """Write the page."""
    proven = sum(requirement in proofs for requirements in groups.values() for requirement in requirements)
    total = sum(map(len, groups.values()))
    head = [
        "# Requirements and their tests",
        "",
        "Written by `make parity` from `requirements.toml` and the markers of the tests; do not edit by hand.",
        "",
        f"**{proven} of {total} requirements are proven by a test.**",
        "",
    ]
    return "\n".join([*head, *(line for title, rows in groups.items() for line in section(title, rows, proofs))])


def section(title: str, requirements: Mapping[str, str], proofs: Proofs) -> Iterator[str]:
    """Write the table of one group."""
    proven = sum(requirement in proofs for requirement in requirements)
    yield from (f"## {title} ({proven} of {len(requirements)})", "", "| id | requirement | tests |", "|---|---|---|")
    for requirement, words in requirements.items():
        tests = "<br>".join(sorted(proofs.get(requirement, ()))) or "not yet"
        yield f"| {requirement} | {words.replace('|', '&#124;')} | {tests} |"
    yield ""


def read_requirements() -> Groups:
    """Read the list: title of a group -> id -> what it asks for."""
    groups = tomllib.loads(REQUIREMENTS.read_text())
    return {group.pop("title"): group for group in groups.values()}


def main() -> int:
    """Write the page, or check it."""
    groups, proofs = read_requirements(), collect()
    known = {requirement for rows in groups.values() for requirement in rows}
    if unknown := sorted(proofs.keys() - known):
        print(f"tests name requirements that docs/requirements.toml lacks: {', '.join(unknown)}", file=sys.stderr)
        return 1
    text = page(groups, proofs)
    if "--check" in sys.argv[1:]:
        if PARITY.read_text() == text:
            return 0
        print("docs/parity.md is stale: run `make parity` and commit it", file=sys.stderr)
        return 1
    PARITY.write_text(text)
    print(text.splitlines()[4].strip("*"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
