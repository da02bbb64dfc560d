"""How long a run takes is told once, early, and only where it takes minutes."""

from functools import partial

import pytest

from vitro import progress
from vitro.progress import Clock


class Hours:
    """A clock that stands still but where it is set forward."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def hours(monkeypatch: pytest.MonkeyPatch) -> Hours:
    hours = Hours()
    monkeypatch.setattr(progress, "time", hours)
    return hours


def told(capsys: pytest.CaptureFixture[str], hours: Hours, work: list[float], rate: float) -> list[str]:
    """What is told after each step, where a part of the work takes so many seconds."""
    clock, said = Clock("9 edges", work, "fewer"), []
    for step, amount in enumerate(work):
        clock.timed(step, partial(hours.wait, rate * amount))
        said.append(capsys.readouterr().err)
    return said


def test_a_run_of_minutes_is_told_as_soon_as_two_seconds_say_it(
    hours: Hours, capsys: pytest.CaptureFixture[str]
) -> None:
    # 3 s for 3 of 483 parts of the work: 480 s for the others.
    assert told(capsys, hours, [1, 2, 380, 100], 1.0) == ["", "9 edges: about 8 minutes. Sooner: fewer.\n", "", ""]


def test_a_run_of_which_the_first_step_takes_minutes_is_told_within_it(
    hours: Hours, capsys: pytest.CaptureFixture[str]
) -> None:
    clock, said = Clock("9 edges", [300, 180], "fewer"), []

    def make() -> None:
        for edge in range(1, 301):
            hours.wait(1.0)
            clock.done(lambda done, total, what="": None, 0, edge, 300)
            said.append(capsys.readouterr().err)

    clock.timed(0, make)
    # 3 of 480 parts in 3 s.
    assert said == ["", "", "9 edges: about 8 minutes. Sooner: fewer.\n", *[""] * 297]


def test_a_run_of_seconds_is_not_told(hours: Hours, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, hours, [1, 2, 380, 100], 0.1) == ["", "", "", ""]


def test_the_bar_is_of_all_steps(hours: Hours) -> None:
    seen: list[tuple[float, float]] = []
    Clock("edges", [1, 2, 7], "fewer").done(lambda done, total, what="": seen.append((done, total)), 1, 5, 10)
    assert seen == [(2, 10)]
