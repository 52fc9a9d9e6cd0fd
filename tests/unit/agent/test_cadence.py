"""When a running migration is looked at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmferry_agent.decisions.cadence import AFTER_PASS, GAP, POLL, Cadence

QUIET = Cadence(looked_at=10.0)


def test_while_nothing_is_heard_it_is_looked_at_seldom() -> None:
    assert QUIET.due == 10.0 + POLL


def test_a_pass_is_looked_at_twice_once_its_figures_are_fresh() -> None:
    heard = QUIET.heard_pass(10.4)
    first = heard.due
    second = heard.looked(first).due
    assert [first, second] == pytest.approx([10.4 + offset for offset in AFTER_PASS])
    assert heard.looked(first).looked(second).due == second + POLL


def test_passes_that_follow_each_other_fast_put_no_look_off() -> None:
    heard = QUIET
    for tenth in range(1, 9):
        heard = heard.heard_pass(10 + tenth / 10)
    assert heard.due == pytest.approx(10.1 + AFTER_PASS[0])


def test_an_old_pass_is_no_reason_to_look() -> None:
    assert QUIET.heard_pass(10.1).looked(50.0).due == 50.0 + POLL


@given(st.lists(st.floats(0, 0.5), max_size=40))
def test_looks_keep_their_distance_and_never_cease(gaps: list[float]) -> None:
    cadence, now = QUIET, 10.0
    for gap in gaps:
        now += gap
        cadence = cadence.heard_pass(now)
        assert cadence.looked_at + GAP <= cadence.due <= cadence.looked_at + POLL
        if cadence.due <= now:
            cadence = cadence.looked(now)
