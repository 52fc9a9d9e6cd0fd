"""What the agent's answers and the clock mean for the plan."""

import itertools
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from migrations_in_words import NOW, after, first_desired, migration, policy, running

from vmferry_api.migrations import (
    Applied,
    ApplyError,
    Attempt,
    AttemptOutcome,
    Desired,
    StepRecord,
)
from vmferry_api.policies import MigrationPolicySpec
from vmferry_operator.decisions.plan import Plan, plan
from vmferry_operator.decisions.records import MAX_RECORDS, settled
from vmferry_operator.decisions.situations import situation

RUNS = Attempt(number=1, start=NOW)
GAVE_UP = AttemptOutcome.ABORTED
STALLED = {"stalled": "10s"}
TO_150 = {"after": STALLED, "setMaxDowntime": "150ms"}
TO_500 = {"after": STALLED, "setMaxDowntime": "500ms"}
TO_400_MI = {"after": STALLED, "setBandwidth": "400Mi"}


def spec(*steps: dict[str, object], **fields: object) -> MigrationPolicySpec:
    return policy(
        **{"maxDowntime": "100ms", "bandwidth": {"perMigration": "50Mi"}, **fields}, steps=list(steps) or None
    ).spec


def begun(of: MigrationPolicySpec) -> Desired:
    return first_desired(of)


def step(number: int, revision: int, action: str, **fields: object) -> StepRecord:
    plain = StepRecord(time=NOW, step=number, trigger="stalled for 10s", action=action, revision=revision)
    return plain.replace(**fields)


def answer(revision: int, *refused: str) -> Applied:
    errors = [ApplyError(parameter=parameter, message="no") for parameter in refused]
    return Applied(revision=revision, attempt=1, time=after(31), errors=errors)


def planned(
    of: MigrationPolicySpec, *, at: float, stalling_since: float | None = None, memory_pass: int = 3
) -> Plan:
    seen = situation(migration(running(stalling_since=stalling_since, memory_pass=memory_pass)))
    return plan(of, begun(of), None, [], seen, now=after(at))


@pytest.mark.parametrize(
    ("steps", "at", "stalling_since", "look_again_at"),
    [
        ([{"after": {"elapsed": "60s"}, "suspend": {}}], 0, None, 60),
        ([{"after": {"elapsedPerGiB": "90s"}, "suspend": {}}], 0, None, 90),
        ([{"after": {"passes": 9}, "suspend": {}}], 0, None, None),
        ([TO_150], 0, None, None),
        ([TO_150, {"after": {"elapsed": "60s"}, "suspend": {}}], 5, 3, 13),
        ([TO_150, {"after": {"elapsed": "9s"}, "suspend": {}}], 5, 3, 9),
        ([{"after": {"elapsed": "60s"}, "suspend": {}}, TO_150], 5, 3, 60),
        (
            [{"after": {"elapsed": "60s"}, "suspend": {}}, {"after": {"elapsed": "30s"}, "abort": {}}],
            5,
            3,
            30,
        ),
    ],
)
def test_it_is_looked_at_again_when_the_first_of_the_steps_that_may_be_taken_is_due(
    steps: list[dict[str, object]], at: float, stalling_since: float | None, look_again_at: float | None
) -> None:
    result = planned(spec(*steps), at=at, stalling_since=stalling_since)
    assert list(result.steps) == []
    assert result.outlook.check_again == (None if look_again_at is None else after(look_again_at))


def test_of_several_steps_that_are_due_the_first_in_the_list_is_taken_and_no_other() -> None:
    late = {"after": {"elapsed": "60s"}, "setMaxDowntime": "1s"}
    later = {"after": {"passes": 1}, "suspend": {}}
    result = planned(spec(TO_150, late, later), at=1000, stalling_since=0)
    assert [taken.step for taken in result.steps] == [1]
    assert result.desired.max_downtime == timedelta(milliseconds=150)
    assert not result.desired.suspend


def test_of_several_deadlines_that_have_passed_the_first_in_the_list_counts() -> None:
    ends = [{"after": {"elapsed": "60s"}, "suspend": {}}, {"after": {"elapsed": "30s"}, "abort": {}}]
    result = planned(spec(TO_150, *ends), at=1000, stalling_since=0)
    assert [taken.step for taken in result.steps] == [2]


def test_stalling_that_comes_and_goes_counts_from_when_it_came_last() -> None:
    result = planned(spec(TO_150), at=100, stalling_since=95)
    assert list(result.steps) == []
    assert result.outlook.check_again == after(105)


def test_without_a_cap_there_is_no_bandwidth_to_raise() -> None:
    uncapped = spec(TO_400_MI, TO_150, bandwidth={})
    result = planned(uncapped, at=10, stalling_since=0)
    assert result.desired.bandwidth is None
    assert [taken.step for taken in result.steps] == [2]


def test_the_ramp_ends_where_an_edit_puts_a_ladder_in_its_place() -> None:
    ramp = policy(agentDowntimeRamp={"max": "500ms"}).spec
    ladder = spec(TO_150)
    seen = situation(migration(running(stalling_since=0)))
    result = plan(ladder, begun(ramp), None, [], seen, now=after(10))
    assert result.desired.agent_downtime_ramp is None
    assert result.desired.max_downtime == timedelta(milliseconds=150)
    assert result.steps[-1].action == "setMaxDowntime 100ms → 150ms"


@pytest.mark.parametrize(
    ("edit", "field", "value"),
    [
        ({"stallingLimit": "3s"}, "stalling_limit", timedelta(seconds=3)),
        ({"progressTimeout": "0s"}, "progress_timeout", timedelta(0)),
        ({"timeout": {"base": "1h"}}, "timeout", timedelta(hours=1)),
        ({"bandwidth": {"perMigration": "50Mi", "postCopy": "1Gi"}}, "post_copy_bandwidth", 2**30),
    ],
)
def test_an_edited_limit_is_followed_with_one_revision_and_no_step(
    edit: dict[str, object], field: str, value: object
) -> None:
    before = begun(spec())
    seen = situation(migration(running(stalling_since=0)))
    result = plan(spec(**edit), before, None, [], seen, now=after(1))
    assert getattr(result.desired, field) == value
    assert result.desired.revision == 2
    assert list(result.steps) == []
    assert plan(spec(**edit), result.desired, None, [], seen, now=after(2)).desired == result.desired


def test_an_edited_ladder_goes_on_from_where_the_migration_stands() -> None:
    stands = begun(spec(TO_150)).replace(max_downtime=timedelta(milliseconds=500), revision=3)
    trail = [step(2, 3, "setMaxDowntime 150ms → 500ms", value="500ms", outcome="Applied", effective=NOW)]
    edited = spec(TO_150, TO_500, {"after": STALLED, "setMaxDowntime": "2s"})
    seen = situation(migration(running(stalling_since=0)))
    result = plan(edited, stands, None, trail, seen, now=after(100))
    assert result.desired.max_downtime == timedelta(seconds=2)
    assert result.steps[-1].step == 3


@pytest.mark.parametrize(
    ("record", "applied", "ended", "outcome"),
    [
        (step(1, 2, "setMaxDowntime"), None, None, "Pending"),
        (step(1, 2, "setMaxDowntime"), answer(1), None, "Pending"),
        (step(1, 2, "setMaxDowntime"), answer(2), None, "Applied"),
        (step(1, 2, "setMaxDowntime"), answer(3), None, "Applied"),
        (step(1, 2, "setMaxDowntime"), answer(2, "maxDowntime"), None, "Failed: maxDowntime: no"),
        (step(1, 2, "setMaxDowntime", outcome="Applied"), answer(2, "maxDowntime"), GAVE_UP, "Applied"),
        (step(1, 2, "setMaxDowntime"), answer(1), GAVE_UP, "Overtaken: the attempt had ended"),
        (step(1, 2, "abort"), answer(1), GAVE_UP, "Applied"),
        (step(1, 2, "abort"), answer(1), AttemptOutcome.COMPLETED, "Overtaken: the attempt had ended"),
    ],
)
def test_a_step_s_outcome_is_the_agent_s_answer_and_written_once(
    record: StepRecord, applied: Applied | None, ended: AttemptOutcome | None, outcome: str
) -> None:
    assert settled([record], applied, [RUNS.replace(outcome=ended, end=ended and NOW)])[0].outcome == outcome


def test_a_long_refusal_fits_into_the_record() -> None:
    told = answer(2).replace(errors=[ApplyError(parameter="maxDowntime", message="x" * 4000)])
    assert len(settled([step(1, 2, "setMaxDowntime")], told, [RUNS])[0].outcome) == 1024


def test_a_step_has_not_failed_by_what_an_earlier_step_was_refused() -> None:
    earlier = step(1, 2, "setBandwidth 50Mi → 400Mi", outcome="Failed: bandwidth: no", effective=after(20))
    later = step(2, 3, "setMaxDowntime 100ms → 150ms")
    assert settled([earlier, later], answer(3, "bandwidth"), [RUNS])[1].outcome == "Applied"


def test_a_refusal_is_seen_though_the_policy_was_edited_before_the_agent_answered() -> None:
    record = step(1, 2, "setMaxDowntime 100ms → 150ms")
    outcome = settled([record], answer(3, "maxDowntime"), [RUNS])[0].outcome
    assert outcome.startswith("Failed: maxDowntime")


def test_the_audit_trail_is_bounded_and_the_oldest_go_first() -> None:
    old = [
        step(1, number, "suspend", outcome="Applied", effective=NOW) for number in range(1, MAX_RECORDS + 1)
    ]
    seen = situation(migration(running(stalling_since=0)))
    ladder = spec(TO_150)
    result = plan(ladder, begun(ladder).replace(revision=MAX_RECORDS), None, old, seen, now=after(100))
    assert len(result.steps) == MAX_RECORDS
    assert result.steps[0].revision == 2
    assert result.steps[-1].action == "setMaxDowntime 100ms → 150ms"


@given(
    interval=st.integers(0, 120),
    moments=st.lists(st.floats(0.1, 40), min_size=1, max_size=30),
    durations=st.lists(st.integers(101, 5000), min_size=1, max_size=6, unique=True),
)
def test_steps_keep_their_distance_and_each_is_taken_once_in_order(
    interval: int, moments: list[float], durations: list[int]
) -> None:
    ladder = spec(
        *({"after": STALLED, "setMaxDowntime": f"{each}ms"} for each in durations),
        minStepInterval=f"{interval}s",
    )
    desired, records, now = begun(ladder), [], 0.0
    for wait in moments:
        now += wait
        told = Applied(revision=desired.revision, attempt=1, time=after(now))
        seen = situation(migration(running(stalling_since=0)))
        result = plan(ladder, desired, told, records, seen, now=after(now))
        assert result.outlook.check_again is None or result.outlook.check_again > after(now)
        desired, records = result.desired, list(result.steps)
    gaps = [(later.time - sooner.time).total_seconds() for sooner, later in itertools.pairwise(records)]
    assert all(gap >= max(interval, 10) for gap in gaps)
    places = [record.step for record in records]
    assert places == sorted(set(places), key=places.index) == sorted(places)
