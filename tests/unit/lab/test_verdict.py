"""What a console gives away."""

from dataclasses import dataclass

import pytest

from vmferry_lab.guests.verdict import Verdict, verdict


def lines(*ticks, errors=0):
    return "".join(f"{tick:08x} {tick * 78:08x} {errors:08x} 0000004e\n" for tick in ticks)


GOOD = "B\n" + lines(25, 50, 75, 100)


def test_a_guest_that_ran_once_without_a_gap_is_intact():
    found = verdict(GOOD)
    assert found == Verdict(ticks=100, pages_written=7800, problems=())
    assert found.intact
    assert str(found) == "intact: 100 ticks without a gap, 7800 pages written, 0 memory errors"


@dataclass
class Case:
    reason: str
    console: str
    problem: str


@pytest.mark.parametrize(
    "case",
    [
        Case("the first line is lost", "B\n" + lines(50, 75), "tick 50 follows tick 0"),
        Case("ticks went back: older memory", "B\n" + lines(25, 50, 75, 50), "tick 50 follows tick 75"),
        Case("one line twice: it ran twice", "B\n" + lines(25, 50, 50, 75), "tick 50 follows tick 50"),
        Case("the console was truncated", lines(25, 50), "booted 0 times"),
        Case(
            "two write at once",
            "B\n" + lines(25) + "0000000000003232 11\n",
            "garbled line '0000000000003232 11'",
        ),
        Case("it booted again", GOOD + "B\n", "booted 2 times"),
        Case("memory was lost", GOOD + lines(125, errors=3), "3 memory errors"),
        Case("nothing was said", "", "has not run yet"),
        Case("a line lacks a field", "B\n" + lines(25) + "00000032 0 0\n", "garbled line '00000032 0 0'"),
    ],
    ids=lambda case: case.reason,
)
def test_what_is_wrong_is_told(case):
    found = verdict(case.console)
    assert not found.intact
    assert case.problem in found.problems
    assert str(found).startswith("NOT INTACT: ")


def test_a_line_that_is_just_being_written_does_not_count():
    assert verdict(GOOD + lines(125)[:12]).intact


def test_an_error_that_is_over_is_not_forgotten():
    assert verdict("B\n" + lines(25, errors=1) + lines(50)).errors == 1


def test_people_are_told_of_five_problems_and_how_many_there_are():
    found = verdict("B\n" + lines(*range(50, 50 * 9, 50)))
    assert len(found.problems) == 8
    assert str(found).endswith("; and 3 more")
