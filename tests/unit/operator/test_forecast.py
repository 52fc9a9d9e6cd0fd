"""What is said to be expected, from which pass on, and when it is said anew."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from migrations_in_words import after, first_desired, migration, policy, running, source

from vmferry_api.migrations import Forecast, PassRecord, Progress, VMMigrationStatus, VMState
from vmferry_operator.decisions.actions import Action, ActionName, Move, Outlook
from vmferry_operator.decisions.forecast import forecast
from vmferry_operator.decisions.situations import situation

FLAT = [1280, 1280, 1280, 1280]
FALLING = [4000, 2000, 1000, 500]
NOTHING_DUE = Outlook()


def passing(needed: Sequence[int], **progress: object) -> VMMigrationStatus:
    """In its last pass after these needed downtimes in milliseconds, the first of them of pass 2."""
    recent = [
        PassRecord(
            memory_pass=number,
            elapsed=timedelta(seconds=2 * number),
            needed_downtime=timedelta(milliseconds=each),
        )
        for number, each in enumerate(needed, start=2)
    ]
    status = running(memory_pass=recent[-1].memory_pass if recent else 1)
    assert status.progress is not None
    return status.replace(progress=status.progress.replace(recent=recent, **progress))


def told(
    status: VMMigrationStatus,
    *,
    at: float = 10,
    outlook: Outlook = NOTHING_DUE,
    before: Forecast | None = None,
    **spec: object,
) -> Forecast | None:
    of = policy(**{"maxDowntime": "100ms", **spec}).spec
    return forecast(of, first_desired(of), situation(migration(status)), outlook, before, now=after(at))


@pytest.mark.parametrize(
    ("needed", "is_told"), [([], False), ([1280], False), ([1280, 1280], True), (FLAT, True)]
)
def test_there_is_a_forecast_from_the_third_pass_on(needed: list[int], is_told: bool) -> None:
    assert (told(passing(needed)) is not None) == is_told


def test_there_is_none_where_nothing_runs() -> None:
    assert told(passing(FLAT).replace(attempts=[])) is None


def test_one_that_does_not_converge_is_told_with_the_floor_and_the_figures() -> None:
    assert told(passing(FLAT)) == Forecast(
        converges=False,
        floor=timedelta(milliseconds=1280),
        why="needed downtime 1.28s, +0.0% a pass over 4 passes; granted 100ms",
    )


@pytest.mark.parametrize(
    ("needed", "granted", "completion"),
    [
        (FALLING, "500ms", 10),  # it fits: what is left is the downtime itself
        (FALLING, "250ms", 10),  # half a second from the start of the last pass on, then the downtime
        (FALLING, "1ms", 10),
    ],
)
def test_one_that_converges_is_told_with_its_end(needed: list[int], granted: str, completion: float) -> None:
    found = told(passing(needed), maxDowntime=granted)
    assert found is not None
    assert (found.converges, found.floor, found.completion) == (True, None, after(completion))


@pytest.mark.parametrize(("within", "converges"), [("60s", True), ("12s", False)])
def test_an_end_beyond_an_objective_s_deadline_is_none(within: str, converges: bool) -> None:
    slow = [4000, 3900, 3800, 3700]
    objective = {"maxDowntime": "4s", "preferredDowntime": "3400ms", "completeWithin": within}
    found = told(passing(slow), at=11, maxDowntime=None, objective=objective)
    assert found is not None
    assert found.converges == converges


def test_in_post_copy_the_end_follows_from_what_is_left() -> None:
    status = passing(FLAT, remaining=100 * 2**20, bandwidth=20 * 2**20)
    found = told(status.replace(source=source(VMState.PAUSED, "PostCopy")))
    assert found is not None
    assert (found.converges, found.completion) == (True, after(15))


NEXT = Outlook(check_again=after(30), next_action="abort", next_time=after(30))
DONE = Outlook(move=Move(action=Action(name=ActionName.ABORT), trigger="t"))


@pytest.mark.parametrize(
    ("outlook", "action", "time"),
    [
        (NOTHING_DUE, None, None),
        (NEXT, "abort", after(30)),
        (Outlook(check_again=after(3)), None, None),
        (
            Outlook(check_again=after(3), next_action="abort once it is stalling"),
            "abort once it is stalling",
            None,
        ),
        (DONE, None, None),
    ],
)
def test_what_is_done_next_is_told_and_what_is_done_now_is_in_the_audit_trail(
    outlook: Outlook, action: str | None, time: datetime | None
) -> None:
    found = told(passing(FLAT), outlook=outlook)
    assert found is not None
    assert (found.next_action, found.next_time) == (action, time)


@pytest.mark.parametrize(
    ("needed", "at", "outlook", "stays"),
    [
        (FLAT, 10, NOTHING_DUE, True),
        ([1290] * 4, 99, NOTHING_DUE, True),
        ([1400] * 4, 10, NOTHING_DUE, False),
        (FLAT, 10, NEXT, False),
        (FALLING, 10, NOTHING_DUE, False),
    ],
)
def test_it_is_said_anew_only_where_somebody_would_want_to_know(
    needed: list[int], at: float, outlook: Outlook, stays: bool
) -> None:
    before = told(passing(FLAT))
    assert (told(passing(needed), at=at, outlook=outlook, before=before) is before) == stays


@pytest.mark.parametrize(("later", "stays"), [(2, True), (4, False)])
def test_an_end_that_moves_by_a_little_is_left_as_it_is(later: float, stays: bool) -> None:
    before = told(passing(FALLING))
    assert (told(passing(FALLING), at=10 + later, before=before) is before) == stays


def test_without_a_limit_of_the_policy_s_own_the_agent_s_counts() -> None:
    status = passing(FALLING, max_downtime=timedelta(seconds=1))
    found = told(status, maxDowntime=None, agentDowntimeRamp={"max": "2s"})
    assert found is not None
    assert found.why.endswith("granted 1s")
    assert isinstance(status.progress, Progress)
