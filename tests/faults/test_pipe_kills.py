"""Tap and target in a pipe, and the tap alone: faults of both APIs, and kills of the one, the other, or both."""

from __future__ import annotations

import signal
from collections import Counter
from datetime import UTC, datetime

import mishaps
import pytest
from pipe_ordeals import PipeOrdeal, TapOrdeal, open_shop
from singer_delivery.testing.plans import HITS, dice
from singer_delivery.testing.points import Strike
from tap_points import TAP_POINTS

SHOP = {"profiles": 1_500, "events": 4_000, "seed": 7}  # and as many changes of consent: more than 6,500 records
SMALL_SHOP = {"profiles": 600, "events": 1_500, "seed": 8}

NAMED = [
    pytest.param(Strike("tap_page_read", 12), id="tap, SIGKILL"),
    pytest.param(Strike("tap_lines_written", 9, signal.SIGTERM), id="tap, SIGTERM"),
    pytest.param(Strike("answer_waiting", 20), id="target, SIGKILL"),
    pytest.param(Strike("answer_read", 12, signal.SIGTERM), id="target, SIGTERM"),
    pytest.param(Strike("intent_noted", 5, whole_pipe=True), id="both, SIGKILL"),
    pytest.param(Strike("tap_line_half_written", 9, signal.SIGINT, whole_pipe=True), id="both, SIGINT (Ctrl-C)"),
]


@pytest.fixture(scope="session")
def now() -> str:
    """The frozen moment at which all shops are opened: equal ones hold the same data then."""
    return datetime.now(UTC).replace(microsecond=0).isoformat()


@pytest.fixture(scope="session")
def ideal(running, now, tmp_path_factory):
    """What the pipe brings when nothing happens on the way."""
    open_shop(running, now, **SHOP)
    undisturbed = PipeOrdeal(running, tmp_path_factory.mktemp("ideal") / "pipe")
    undisturbed.run_to_success()
    return undisturbed.ideal()


@pytest.mark.req("BX-12", "IN-61")
@pytest.mark.parametrize("strike", NAMED)
def test_killed_pipe_ends_undisturbed(sandbox, ideal, now, tmp_path, strike):
    """Killed pipe resumes to the undisturbed end.

    All three flows of a hostile account, with faults of both APIs: nothing lost, nothing twice.
    """
    open_shop(sandbox, now, **SHOP)
    mishaps.arm(sandbox, dice(strike.nth), insiderone=3, klaviyo=3)
    ordeal = PipeOrdeal(sandbox, tmp_path / "pipe")

    ordeal.run_to_success([strike])

    assert ordeal.struck() == [strike]
    assert ordeal.verdict(ideal).broken == {}
    assert ideal.requests >= 20


def test_every_tap_point_is_struck():
    """Every point of the tap is struck often enough.

    The parameters of the test below; it asserts that its kills took place.
    """
    struck = Counter(strike.point for number in range(HITS) for strike in strikes_of_the_tap(number))

    assert struck == dict.fromkeys(TAP_POINTS, HITS)


@pytest.mark.req("BX-12", "C-26", "C-27")
@pytest.mark.parametrize("number", range(HITS))
def test_killed_tap_repeats_little(sandbox, now, tmp_path, number):
    """Killed tap repeats at most what followed its last state.

    Four kills one after the other, with faults: every record comes, none from before a STATE comes again.
    """
    open_shop(sandbox, now, **SMALL_SHOP)
    undisturbed = TapOrdeal(sandbox, tmp_path / "undisturbed")
    undisturbed.run()
    ordeal = TapOrdeal(sandbox, tmp_path / "ordeal")
    strikes = strikes_of_the_tap(number)
    for kind in ("truncate", "truncate_ok", "reset"):
        sandbox.fault("klaviyo", kind=kind, query="cursor", skip=number)

    for strike in [*strikes, None]:
        ordeal.run(strike)

    met = {entry.get("fault") for entry in sandbox.journal("klaviyo")}
    (everything, _), *_ = undisturbed.emitted
    assert met >= {"truncate", "truncate_ok", "reset"}
    assert ordeal.struck == strikes
    assert ordeal.codes[-1] == 0
    assert {record for records, _ in ordeal.emitted for record in records} == set(everything)
    settled = Counter(record for records, before_state in ordeal.emitted for record in records[:before_state])
    assert settled == Counter(everything)


def strikes_of_the_tap(number: int) -> list[Strike]:
    """One kill at each point, in an order and at times of their own."""
    chance = dice(number)
    points = chance.sample(list(TAP_POINTS), len(TAP_POINTS))
    return [Strike(point, chance.randint(1, 3), chance.choice((signal.SIGKILL, signal.SIGTERM))) for point in points]
