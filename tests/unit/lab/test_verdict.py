import pytest

from vmferry_lab.guests.verdict import verdict


def line(tick: int, errors: int = 0) -> str:
    return f"{tick:08x} {tick * 78:08x} {errors:08x} {78:08x}\n"


GOOD = "B\n" + "".join(line(tick) for tick in range(25, 500, 25))


def test_a_guest_that_ran_once_without_a_gap_is_intact():
    found = verdict(GOOD)
    assert found.intact
    assert (found.ticks, found.pages_written) == (475, 475 * 78)


def test_a_line_that_is_just_being_written_does_not_count():
    assert verdict(GOOD + line(500)[:12]).intact


@pytest.mark.parametrize(
    ("console", "problem"),
    [
        ("", "has not run yet"),
        ("B\n", "has not run yet"),
        (GOOD + "B\n", "booted 2 times"),
        (GOOD.removeprefix("B\n"), "booted 0 times"),
        (GOOD + line(525), "tick 525 follows tick 475"),
        (GOOD + line(475), "tick 475 follows tick 475"),
        (GOOD + line(500, errors=3), "3 memory errors"),
        (GOOD + "0000 what\n", "garbled line"),
    ],
)
def test_anything_else_is_not(console, problem):
    found = verdict(console)
    assert not found.intact
    assert problem in str(found)
