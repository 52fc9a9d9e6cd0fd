from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from migrations_in_words import GIB, NOW, after, first_desired, migration, policy, running, source

from vmferry_api.migrations import (
    Applied,
    ApplyError,
    Desired,
    DesiredState,
    MigrationTechnique,
    Phase,
    StepRecord,
    VMMigrationStatus,
    VMState,
)
from vmferry_operator.decisions.parameters import total_timeout
from vmferry_operator.decisions.plan import Plan, plan
from vmferry_operator.decisions.situations import situation

LADDER = [
    {"after": {"stalled": "10s"}, "setMaxDowntime": "150ms"},
    {"after": {"stalled": "10s"}, "setMaxDowntime": "500ms"},
    {"after": {"stalled": "10s"}, "switchToPostCopy": {}},
]


def started(spec, **changes) -> Desired:
    """What the migration began with, as changed since."""
    return first_desired(spec).replace(**changes)


def planned(spec, status: VMMigrationStatus, *, at: float, desired: Desired | None = None) -> Plan:
    """The plan at so many seconds after the attempt's start."""
    current = desired or started(spec)
    return plan(spec, current, status.applied, status.steps, situation(migration(status)), now=after(at))


def taken(result: Plan) -> list[str]:
    return [step.action for step in result.steps]


def test_a_migration_starts_with_the_policy_s_values():
    spec = policy(
        maxDowntime="100ms",
        bandwidth={"perMigration": "50Mi", "postCopy": "1Gi"},
        timeout={"base": "10s", "perGiB": "5s"},
        steps=LADDER,
    ).spec
    first = first_desired(spec)
    assert (first.revision, first.attempt, first.state) == (1, 1, DesiredState.MIGRATE)
    assert first.max_downtime == timedelta(milliseconds=100)
    assert (first.bandwidth, first.post_copy_bandwidth) == (50 * 2**20, GIB)
    assert first.timeout == timedelta(seconds=15)
    assert first.post_copy_allowed


def test_without_a_post_copy_step_post_copy_is_not_even_made_possible():
    assert not started(policy(steps=LADDER[:2]).spec).post_copy_allowed


def test_no_step_is_taken_while_the_migration_gets_on():
    result = planned(policy(maxDowntime="100ms", steps=LADDER).spec, running(), at=600)
    assert taken(result) == []
    assert result.desired.revision == 1
    assert result.outlook.check_again is None


def test_a_stalled_step_is_due_so_long_after_stalling_began():
    spec = policy(maxDowntime="100ms", steps=LADDER).spec
    early = planned(spec, running(stalling_since=20), at=29.9)
    assert taken(early) == []
    assert early.outlook.check_again == after(30)
    due = planned(spec, running(stalling_since=20), at=30)
    assert taken(due) == ["setMaxDowntime 100ms → 150ms"]
    assert due.desired.max_downtime == timedelta(milliseconds=150)
    assert due.desired.revision == 2
    assert due.desired.reason == (
        "step 1, stalled for 10s (needed downtime 1280 ms): setMaxDowntime 100ms → 150ms"
    )


def record(
    revision: int, *, outcome: str = "Applied", effective: float | None = None, at: float = 30
) -> StepRecord:
    return StepRecord(
        time=after(at),
        step=1,
        trigger="t",
        action="setMaxDowntime 100ms → 150ms",
        revision=revision,
        outcome=outcome,
        effective=None if effective is None else after(effective),
    )


def test_a_pending_step_is_settled_once_the_agent_has_applied_its_revision():
    spec = policy(maxDowntime="100ms", steps=LADDER).spec
    status = running(steps=[record(2, outcome="Pending")], applied=2)
    (settled,) = planned(spec, status, at=31).steps
    assert (settled.outcome, settled.effective) == ("Applied", NOW)


def test_while_a_step_is_pending_no_other_is_taken():
    spec = policy(maxDowntime="100ms", steps=LADDER).spec
    status = running(stalling_since=0, steps=[record(2, outcome="Pending")], applied=1)
    desired = started(spec, revision=2, max_downtime=timedelta(milliseconds=150))
    assert planned(spec, status, at=900, desired=desired).desired == desired


def test_the_next_stalled_step_waits_from_when_the_last_one_took_effect():
    spec = policy(maxDowntime="100ms", steps=LADDER).spec
    status = running(stalling_since=20, steps=[record(2, effective=31)], applied=2)
    desired = started(spec, revision=2, max_downtime=timedelta(milliseconds=150))
    early = planned(spec, status, at=40.9, desired=desired)
    assert early.desired == desired
    assert early.outlook.check_again == after(41)
    assert planned(spec, status, at=41, desired=desired).desired.max_downtime == timedelta(milliseconds=500)


def test_what_the_host_refused_is_recorded_and_the_next_step_is_due():
    spec = policy(maxDowntime="100ms", steps=LADDER).spec
    desired = started(spec, revision=2, max_downtime=timedelta(milliseconds=150))
    refused = Applied(
        revision=2, attempt=1, time=after(31), errors=[ApplyError(parameter="maxDowntime", message="no")]
    )
    status = running(stalling_since=20, steps=[record(2, outcome="Pending")], applied=2).replace(
        applied=refused
    )
    result = planned(spec, status, at=32, desired=desired)
    assert result.steps[0].outcome == "Failed: maxDowntime: no"
    assert result.desired.max_downtime == timedelta(milliseconds=500)


@pytest.mark.parametrize(
    ("step", "at", "trigger"),
    [
        ({"after": {"elapsed": "5m"}, "abort": {}}, 300, "5m elapsed"),
        ({"after": {"elapsedPerGiB": "150s"}, "abort": {}}, 150, "2m30s elapsed (2m30s per GiB)"),
        ({"after": {"passes": 3}, "abort": {}}, 1, "pass 3 reached"),
    ],
)
def test_steps_by_time_and_pass_overtake_those_that_wait_for_stalling(step, at, trigger):
    result = planned(policy(steps=[LADDER[0], step]).spec, running(memory_pass=3), at=at)
    assert result.desired.state == DesiredState.ABORT
    assert result.steps[0].trigger == trigger
    assert result.steps[0].step == 2


@pytest.mark.parametrize(
    ("step", "at"),
    [
        ({"after": {"elapsed": "5m"}, "abort": {}}, 299.9),
        ({"after": {"elapsedPerGiB": "150s"}, "abort": {}}, 149.9),
        ({"after": {"passes": 4}, "abort": {}}, 10_000),
    ],
)
def test_they_are_not_taken_early(step, at):
    assert taken(planned(policy(steps=[step]).spec, running(memory_pass=3), at=at)) == []


def test_a_stalled_step_waits_for_the_steps_before_it():
    steps = [{"after": {"elapsed": "5m"}, "setBandwidth": "400Mi"}, LADDER[0]]
    spec = policy(bandwidth={"perMigration": "50Mi"}, maxDowntime="100ms", steps=steps).spec
    assert taken(planned(spec, running(stalling_since=0), at=100)) == []


def test_a_step_whose_effect_is_in_force_is_behind():
    spec = policy(maxDowntime="200ms", steps=LADDER).spec
    result = planned(spec, running(stalling_since=0), at=10)
    assert result.desired.max_downtime == timedelta(milliseconds=500)
    assert result.steps[0].step == 2


def test_steps_keep_their_distance():
    spec = policy(maxDowntime="100ms", minStepInterval="60s", steps=LADDER).spec
    status = running(stalling_since=20, steps=[record(2, effective=31)], applied=2)
    desired = started(spec, revision=2, max_downtime=timedelta(milliseconds=150))
    assert planned(spec, status, at=89.9, desired=desired).outlook.check_again == after(90)
    assert planned(spec, status, at=90, desired=desired).desired.revision == 3


def test_in_post_copy_no_step_is_taken():
    spec = policy(steps=[{"after": {"elapsed": "1s"}, "abort": {}}]).spec
    status = running(source=source(VMState.PAUSED, "PostCopy"), phase=Phase.POST_COPY)
    assert planned(spec, status, at=100).desired.state == DesiredState.MIGRATE


@pytest.mark.parametrize(
    ("action", "holds"),
    [
        ({"switchToPostCopy": {}}, lambda desired: desired.technique == MigrationTechnique.POST_COPY),
        ({"suspend": {}}, lambda desired: desired.suspend),
        ({"abort": {}}, lambda desired: desired.state == DesiredState.ABORT),
        ({"setBandwidth": "400Mi"}, lambda desired: desired.bandwidth == 400 * 2**20),
        ({"setMaxDowntime": "1s"}, lambda desired: desired.max_downtime == timedelta(seconds=1)),
    ],
)
def test_each_action_changes_what_it_names_and_happens_once(action, holds):
    spec = policy(bandwidth={"perMigration": "50Mi"}, steps=[{"after": {"stalled": "1s"}, **action}]).spec
    first = planned(spec, running(stalling_since=0), at=1)
    assert holds(first.desired)
    again = running(stalling_since=0, applied=2).replace(steps=list(first.steps))
    assert planned(spec, again, at=500, desired=first.desired).desired == first.desired


def test_an_edited_limit_is_followed_at_once_without_a_step():
    before = started(policy(progressTimeout="150s").spec)
    result = planned(policy(progressTimeout="20s").spec, running(), at=1, desired=before)
    assert result.desired.progress_timeout == timedelta(seconds=20)
    assert result.desired.revision == 2
    assert taken(result) == []


@pytest.mark.parametrize(
    ("timeout", "memory", "seconds"),
    [
        ({"base": "10s", "perGiB": "5s"}, 2 * GIB, 20),
        ({"perGiB": "150s"}, GIB // 2, 75),
        ({"base": "0s"}, GIB, None),
    ],
)
def test_a_timeout_grows_with_the_vm_s_memory(timeout, memory, seconds):
    total = total_timeout(policy(timeout=timeout).spec.timeout, memory)
    assert total == (None if seconds is None else timedelta(seconds=seconds))


TRIGGERS = st.one_of(
    st.builds(lambda n: {"stalled": f"{n}s"}, st.integers(0, 60)),
    st.builds(lambda n: {"elapsed": f"{n}s"}, st.integers(0, 600)),
    st.builds(lambda n: {"passes": n}, st.integers(1, 20)),
    st.builds(lambda n: {"elapsedPerGiB": f"{n}s"}, st.integers(0, 600)),
)
ACTIONS = st.one_of(
    st.builds(lambda n: {"setMaxDowntime": f"{n}ms"}, st.integers(1, 5000)),
    st.builds(lambda n: {"setBandwidth": f"{n}Mi"}, st.integers(1, 1000)),
    st.sampled_from([{"suspend": {}}, {"abort": {}}, {"switchToPostCopy": {}}]),
)
STEPS = st.lists(
    st.builds(lambda trigger, action: {"after": trigger, **action}, TRIGGERS, ACTIONS), max_size=6
)
MOMENTS = st.lists(
    st.tuples(st.floats(0, 30), st.one_of(st.none(), st.floats(0, 300)), st.booleans()), max_size=20
)


@given(steps=STEPS, moments=MOMENTS)
def test_whatever_happens_revisions_grow_by_one_per_change_and_steps_by_one_per_decision(steps, moments):
    spec = policy(bandwidth={"perMigration": "50Mi"}, steps=steps or None).spec
    desired, records, now = started(spec), [], 0.0
    for wait, stalling_since, answered in moments:
        now += wait
        since = None if stalling_since is None or stalling_since > now else stalling_since
        applied = desired.revision if answered else 0
        status = running(stalling_since=since, applied=applied).replace(steps=list(records))
        result = planned(spec, status, at=now, desired=desired)
        assert result.desired.revision - desired.revision == (result.desired != desired)
        assert 0 <= len(result.steps) - len(records) <= 1
        if result.desired.technique == MigrationTechnique.POST_COPY:
            assert any("switchToPostCopy" in step for step in steps)
        once_more = status.replace(steps=list(result.steps))
        assert planned(spec, once_more, at=now, desired=result.desired).desired == result.desired
        desired, records = result.desired, list(result.steps)
