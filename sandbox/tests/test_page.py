"""The page as a person sees it: in a browser, on narrow and wide screens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .browser import COMMAND, Browser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from klaviyo_insiderone_sandbox.testing import Sandbox

    from .conftest import InsiderOneCaller, KlaviyoCaller

pytestmark = pytest.mark.skipif(COMMAND is None, reason="no Chromium or Chrome is installed to show the page")

TABS = ("users", "refusals", "drops", "klaviyo", "insiderone")
LONG = "a-slug-that-is-as-long-as-those-of-landing-pages-and-has-no-place-to-break_" * 2

FAINT = """
(() => {
  window.luminance = color => {
    const [r, g, b] = color.match(/[0-9.]+/g).slice(0, 3).map(part => part / 255)
      .map(part => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const groundOf = element => {
    const color = getComputedStyle(element).backgroundColor;
    return color === 'rgba(0, 0, 0, 0)' && element.parentElement ? groundOf(element.parentElement) : color;
  };
  const speaks = element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
  return [...document.querySelectorAll('body *')]
    .filter(one => one.checkVisibility() && !one.disabled && speaks(one))
    .filter(one => {
      const [light, dark] = [getComputedStyle(one).color, groundOf(one)].map(luminance).sort((a, b) => b - a);
      return (light + 0.05) / (dark + 0.05) < 4.5;
    }).map(one => one.textContent);
})()
"""
"""The texts that can be seen, and hardly read."""

SHIFTED = """
[...document.querySelectorAll('section:not([hidden]) table.listed')].flatMap(table =>
  [...table.tHead.rows[0].cells].filter((head, place) => [...table.tBodies[0].rows].some(row =>
    getComputedStyle(row.cells[place]).textAlign !== getComputedStyle(head).textAlign
  )).map(head => head.textContent))
"""
"""The heads that stand elsewhere than the cells of their column."""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(str(tmp_path_factory.mktemp("browser"))) as browser:
        yield browser


@pytest.fixture
def page(tab: Browser, sandbox: Sandbox, klaviyo: KlaviyoCaller, insiderone: InsiderOneCaller) -> Browser:
    """The page with two people, refusals, something not stored, and requests that went well and not so well."""
    sandbox.seed(profiles=20, events=20)
    klaviyo.get("/api/profiles", page__size="20", sort="-updated")
    klaviyo.get("/api/profiles", sort=LONG)
    sandbox.insiderone_settings(custom_attributes=["slug"], blocked_values=["gone@example.org"])
    insiderone.upsert(
        {
            "identifiers": {"email": "ada@example.org"},
            "attributes": {"name": "Ada", "email_optin": True, "custom": {"slug": LONG, "unknown": "x"}},
            "events": [
                {"event_name": "cart_page_view", "timestamp": "2026-11-01T10:00:00Z", "event_params": {"name": LONG}}
            ],
        },
        {"identifiers": {"email": "ben@example.org"}, "attributes": {"name": "Ben"}},
        {"identifiers": {"email": "nonsense"}, "attributes": {"name": "Cleo"}},
        {"identifiers": {"email": "gone@example.org"}, "attributes": {"name": "Dana"}},
    )
    tab.open()
    tab.look(1280)
    open_tab(tab, sandbox, "users")
    return tab


def open_tab(browser: Browser, sandbox: Sandbox, name: str) -> None:
    """Show one tab by its address, and wait for what it holds."""
    browser.visit(f"{sandbox.control_url}/#{name}")
    browser.wait_for("document.readyState === 'complete' && view.seen !== ''")
    browser.wait_for(f"view.tab === '{name}' && view.seen !== ''")


def search(browser: Browser, words: str) -> None:
    """Type into the search box, and wait for the answer."""
    browser.run(f"byId('search').value = '{words}'; byId('search').dispatchEvent(new Event('input'))")
    browser.wait_for("view.seen !== ''")


@pytest.mark.parametrize("width", [320, 390, 619, 761, 901, 1280])
def test_nothing_exceeds_the_screen(page: Browser, sandbox: Sandbox, width: int) -> None:
    """Nothing is wider than the screen.

    On a phone of 390 pixels the page was 619 wide: tables and tabs stood beyond the edge.
    """
    page.look(width)
    widths = {}
    for name in TABS:
        open_tab(page, sandbox, name)
        page.run("for (const one of document.querySelectorAll('details')) one.open = true")
        widths[name] = page.run("document.documentElement.scrollWidth")

    assert widths == dict.fromkeys(TABS, width)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_has_contrast(page: Browser, sandbox: Sandbox, *, dark: bool) -> None:
    """Text stands out from its ground.

    Whoever has dark screens gets a dark page; every text has the contrast of WCAG AA, 4.5 to 1, on either.
    """
    page.look(1280, dark=dark)
    faint = {}
    for name in TABS:
        open_tab(page, sandbox, name)
        faint[name] = page.run(FAINT)
    ground = page.run("luminance(getComputedStyle(document.body).backgroundColor)")

    assert (ground < 0.2) is dark
    assert faint == {name: [] for name in TABS}


def test_failed_search_shows_nobody(page: Browser) -> None:
    """Search that finds nobody shows nobody.

    The person of before stayed beside "Nobody matches"; with another search, beside people who are not that one.
    """
    search(page, "ada@")
    found = page.run("byId('person').querySelector('h2').textContent")
    search(page, "ben@")
    other = page.run("byId('person').querySelector('h2').textContent")
    search(page, "zzz")
    nobody = page.run("[byId('people').textContent, byId('person').textContent]")
    search(page, "")
    again = page.run("byId('people').querySelectorAll('[aria-current=true]').length")

    assert (found, other) == ("Ada", "Ben")
    assert nobody == ["Nobody matches.", ""]
    assert again == 1


def test_figures_stand_below_their_heads(page: Browser, sandbox: Sandbox) -> None:
    """Figures stand at the right of their column, and so do heads: they seemed to be those of the next column."""
    shifted = {}
    for name in TABS[1:]:
        open_tab(page, sandbox, name)
        shifted[name] = page.run(SHIFTED)
        assert page.run("document.querySelectorAll('section:not([hidden]) table.listed td').length")

    assert shifted == {name: [] for name in TABS[1:]}


def test_back_restores_tab_and_person(page: Browser) -> None:
    """Back returns to the previous tab and person.

    The address told the tab, but nobody listened when Back changed it.
    """
    page.run("[...byId('people').children].find(one => one.textContent.startsWith('Ben')).click()")
    page.wait_for("byId('person').querySelector('h2').textContent === 'Ben'")
    page.run("document.querySelector('[data-tab=klaviyo]').click()")
    page.wait_for("view.tab === 'klaviyo' && !byId('klaviyo').hidden && byId('users').hidden")
    page.run("document.querySelector('[data-tab=refusals]').click()")
    page.wait_for("view.tab === 'refusals' && view.seen !== ''")

    page.run("history.back()")
    page.wait_for("!byId('klaviyo').hidden && byId('refusals').hidden")
    selected = page.run("document.querySelector('nav [aria-selected=true]').dataset.tab")
    page.run("history.back()")
    page.wait_for("!byId('users').hidden && byId('person').querySelector('h2').textContent === 'Ben'")

    assert selected == "klaviyo"


def test_refusals_explain_their_count(page: Browser, sandbox: Sandbox) -> None:
    """Refusals say what they do not count.

    The page said "Refused 0" while the target had rejected three, and not that those were never sent.
    """
    open_tab(page, sandbox, "refusals")
    some = page.run("[byId('n-refusals').textContent, byId('refusals').textContent]")
    sandbox.reset()
    open_tab(page, sandbox, "users")
    open_tab(page, sandbox, "refusals")
    page.wait_for("byId('n-refusals').textContent === '0' && byId('refusals').textContent.includes('refused nobody')")
    none = page.run("byId('refusals').textContent")

    assert some[0] == "1"
    assert "rejects.jsonl" in some[1]
    assert "rejects.jsonl" in none
