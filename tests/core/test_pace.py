"""Estimates of the remaining time, with a clock that the tests control."""

from __future__ import annotations

import pytest

from ancestral.core.pace import Pace


class Clock:
    """Replaces the module `time`. now: seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("ancestral.core.pace.time", clock)
    return clock


def test_before_the_first_part_the_expected_time_remains() -> None:
    assert Pace([1.0, 2.0]).seconds_left() == 180
    assert Pace([]).seconds_left() == 0
    assert Pace([1.0, 2.0]).left == "about 3 min left"


def test_finished_parts_determine_the_speed_of_the_machine(clock: Clock) -> None:
    pace = Pace([1.0, 2.0, 3.0])
    with pace.stage():
        clock.now += 120  # twice the expected time
    assert pace.seconds_left() == pytest.approx(600)
    with pace.stage() as stage:
        stage.counts = False  # reused: not used for the speed of the machine
    assert pace.seconds_left() == pytest.approx(360)


def test_a_running_part_uses_its_remaining_time(clock: Clock) -> None:
    pace = Pace([1.0, 2.0, 3.0])
    with pace.stage():
        clock.now += 10
        assert pace.seconds_left() == 350, "as expected, less the time it has taken"
        # 10 s are over, 20 s are left: half of the minute that was expected, and so of the two parts that follow
        assert pace.seconds_left(20.0) == pytest.approx(20 + 0.5 * 300)
    with pace.stage():
        clock.now += 1000
        assert pace.seconds_left() == pytest.approx(180 / 6), "no part takes less than no time"


def test_existing_parts_are_expected_to_take_no_time(clock: Clock) -> None:
    pace = Pace([0.0, 1.0])
    with pace.stage():
        assert pace.seconds_left(5.0) == pytest.approx(65)
    clock.now += 5
    assert pace.seconds_left() == 60


def test_a_trusted_expectation_outweighs_a_short_part(clock: Clock) -> None:
    pace = Pace([0.001, 10.0, 10.0], trust=1.0)
    with pace.stage():
        clock.now += 6  # a hundred times the expected time
    assert pace.seconds_left() == pytest.approx(1200 * 1.1 / 1.001)
    with pace.stage():
        clock.now += 1200  # twice the expected time, and long enough to count
    assert pace.seconds_left() == pytest.approx(600 * 21.1 / 11.001)
