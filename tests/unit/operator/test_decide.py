from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from migrations_in_words import NOW, after, migration, policy, running, source, target, vm, waiting

from vmferry_agent.hypervisor.states import in_words
from vmferry_api import FINALIZER
from vmferry_api.conditions import ConditionType, find_condition, is_true
from vmferry_api.migrations import (
    Attempt,
    AttemptOutcome,
    Phase,
    SourceReport,
    VMMigrationStatus,
    VMReport,
    VMState,
)
from vmferry_operator.decisions.decide import OWN_FIELDS, Surroundings, decide

NODES = {"node-a", "node-b"}
READY = VMMigrationStatus(source=source(), target=target())


def decided(status=None, policies=(), *, at=0.0, nodes=NODES, metadata=None, **spec):
    around = Surroundings(policies=policies, nodes=nodes, namespace_labels={})
    return decide(migration(status, metadata, **spec), around, now=after(at))


def told(decision, type_):
    found = find_condition(decision.status.conditions, type_)
    return (found.status, found.reason) if found else None


def test_a_new_migration_is_pending_and_waits_for_the_agents():
    decision = decided()
    assert decision.status.phase == Phase.PENDING
    assert decision.status.observed_generation == 1
    assert decision.status.desired is None
    assert decision.finalizer
    assert decision.check_again == timedelta(seconds=10)
    assert told(decision, ConditionType.RECONCILING) == ("True", "WaitingForAgent")


def test_it_starts_once_both_hosts_are_ready():
    decision = decided(READY)
    assert decision.status.desired.revision == 1
    assert told(decision, ConditionType.TARGET_READY) == ("True", "Ready")


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (VMMigrationStatus(source=source()), "AgentSilent"),
        (VMMigrationStatus(target=target()), "AgentSilent"),
        (VMMigrationStatus(source=source(), target=target(ready=False, message="full")), "TargetNotReady"),
    ],
)
def test_what_is_in_the_way_and_may_go_away_is_told_and_waited_for(status, reason):
    decision = decided(waiting(status), at=60)
    assert decision.status.phase == Phase.PENDING
    assert decision.status.desired is None
    assert told(decision, ConditionType.RECONCILING) == ("True", reason)


def test_it_is_not_waited_for_for_ever():
    decision = decided(waiting(VMMigrationStatus(source=source())), at=15 * 60)
    assert decision.status.phase == Phase.FAILED
    assert told(decision, ConditionType.FAILED) == ("True", "StartTimeout")


UNASKED = SourceReport(unreachable=True, message="libvirt can't be asked: no socket")
FULL = target(ready=False, message="full")
HOSTS_BY_TURNS = [
    VMMigrationStatus(source=source(), target=FULL),
    VMMigrationStatus(source=UNASKED, target=target()),
    VMMigrationStatus(source=source()),
    VMMigrationStatus(source=UNASKED),
]


def test_obstacles_that_take_turns_are_not_waited_for_any_longer():
    status, decision = VMMigrationStatus(), decided()
    for minute in range(1, 15):
        own = {name: getattr(decision.status, name) for name in OWN_FIELDS}
        status = HOSTS_BY_TURNS[minute % 4].replace(**own, conditions=decision.status.conditions)
        decision = decided(status, at=60 * minute)
        assert decision.status.phase == Phase.PENDING
        assert decision.status.waiting_since == NOW
    last = status.replace(waiting_since=decision.status.waiting_since)
    assert told(decided(last, at=60 * 15), ConditionType.FAILED) == ("True", "StartTimeout")


@pytest.mark.parametrize(
    "blind",
    [
        {"source": UNASKED},
        {
            "target": target(ready=False, message="libvirt can't be asked: no socket").replace(
                unreachable=True
            )
        },
    ],
)
def test_a_libvirt_that_hangs_once_the_start_was_ordered_is_no_silent_agent(blind):
    ordered = decided(READY).status.replace(source=source(), target=target())
    assert told(decided(ordered, at=60), ConditionType.RECONCILING) == ("True", "AgentSilent")
    decision = decided(ordered.replace(**blind), at=60)
    assert told(decision, ConditionType.RECONCILING) == ("True", "HypervisorUnreachable")
    assert decision.status.desired == ordered.desired
    assert decision.status.waiting_since == NOW


def test_a_wait_is_over_once_nothing_is_in_the_way_but_the_agent_is_waited_for_anew():
    assert decided(waiting(READY), at=600).status.waiting_since == after(600)
    assert decided(waiting(running()), at=600).status.waiting_since is None


def test_what_was_known_of_the_target_stays_known_while_the_source_is_in_the_way():
    first = decided(waiting(VMMigrationStatus(source=source())), at=60).status
    blind = VMMigrationStatus(source=UNASKED, conditions=first.conditions)
    second = decided(blind, at=840).status
    known = find_condition(second.conditions, ConditionType.TARGET_READY)
    assert known == find_condition(first.conditions, ConditionType.TARGET_READY)
    accepted = find_condition(second.conditions, ConditionType.ACCEPTED)
    assert (accepted.status, accepted.reason) == ("Unknown", "HypervisorUnreachable")


@pytest.mark.parametrize(
    ("status", "nodes", "reason"),
    [
        (READY, {"node-a"}, "NodeNotFound"),
        (READY, {"node-b"}, "NodeNotFound"),
        (READY.replace(source=SourceReport(vm=VMReport(state=VMState.ABSENT))), NODES, "VMNotFound"),
        (READY.replace(source=source(VMState.SHUT_OFF, "Destroyed")), NODES, "VMNotRunning"),
    ],
)
def test_what_will_not_go_away_fails_at_once(status, nodes, reason):
    decision = decided(status, nodes=nodes)
    assert decision.status.phase == Phase.FAILED
    assert told(decision, ConditionType.ACCEPTED) == ("False", reason)
    assert told(decision, ConditionType.FAILED) == ("True", reason)
    assert told(decision, ConditionType.STALLED) == ("True", reason)
    assert told(decision, ConditionType.RECONCILING) is None
    assert not decision.finalizer


def test_nodes_that_can_t_be_asked_for_do_not_fail_a_migration():
    assert decided(READY, nodes=None).status.desired is not None


@pytest.mark.parametrize(
    ("policies", "spec", "reason"),
    [
        ([], {"policyRef": {"name": "x"}}, "PolicyNotFound"),
    ],
)
def test_what_can_t_be_carried_out_as_written_never_starts(policies, spec, reason):
    decision = decided(READY, policies, **spec)
    assert decision.status.phase == Phase.PENDING
    assert decision.status.desired is None
    assert told(decision, ConditionType.ACCEPTED) == ("False", reason)
    assert told(decision, ConditionType.RECONCILING) == ("True", reason)


UNREADABLE = ["spec.overrides.maxDowntime: 'soon' is not a duration such as 150ms, 10s or 2m30s"]


def of_an_unreadable_migration(status, **spec):
    around = Surroundings(policies=[], nodes=NODES, namespace_labels={})
    return decide(migration(status, **spec).replace(unreadable=UNREADABLE), around, now=NOW)


def test_a_migration_that_can_t_be_read_never_starts_and_says_so():
    decision = of_an_unreadable_migration(READY)
    assert decision.status.desired is None
    assert told(decision, ConditionType.ACCEPTED) == ("False", "Unreadable")
    accepted = find_condition(decision.status.conditions, ConditionType.ACCEPTED)
    assert "spec.overrides.maxDowntime: 'soon'" in accepted.message


def test_one_that_runs_goes_on_as_it_was_and_can_be_cancelled():
    begun = running(desired=decided(READY).status.desired)
    decision = of_an_unreadable_migration(begun)
    assert (decision.status.phase, decision.status.desired) == (Phase.RUNNING, begun.desired)
    assert told(decision, ConditionType.ACCEPTED) == ("False", "Unreadable")
    cancelled = ended(AttemptOutcome.CANCELLED, desired=begun.desired)
    assert of_an_unreadable_migration(cancelled, cancel=True).status.phase == Phase.CANCELLED


def test_nothing_starts_by_a_policy_that_can_t_be_read():
    mine = policy("p", globalDefault=True).replace(unreadable=["spec.steps[1].setBandwidth: no"])
    decision = decided(READY, [mine])
    assert decision.status.desired is None
    assert told(decision, ConditionType.ACCEPTED) == ("False", "Unreadable")


@pytest.mark.parametrize("cancel", [{"cancel": True}, {"metadata": {"deletionTimestamp": NOW}}])
def test_a_cancelled_migration_does_not_start(cancel):
    decision = decided(READY, **cancel)
    assert decision.status.phase == Phase.CANCELLED
    assert decision.status.desired is None
    assert not decision.finalizer


def test_a_cancel_needs_the_agent_s_word_only_once_an_attempt_is_on_record():
    begun = decided(READY).status.replace(source=source(), target=target())
    assert decided(begun, cancel=True, at=1).status.phase == Phase.CANCELLED
    decision = decided(begun.replace(attempts=[Attempt(number=1, start=NOW)]), cancel=True, at=100_000)
    assert decision.status.phase == Phase.RUNNING
    assert decision.finalizer


def test_a_finalizer_is_not_added_to_an_object_that_is_being_deleted():
    begun = running()
    deleted = {"deletionTimestamp": NOW}
    assert not decided(begun, metadata=deleted).finalizer
    assert decided(begun, metadata={**deleted, "finalizers": [FINALIZER]}).finalizer


def ended(outcome, **status):
    attempt = Attempt(number=1, start=NOW, end=after(9), outcome=outcome, error="why")
    seen = source(VMState.SHUT_OFF, "Migrated") if outcome == AttemptOutcome.COMPLETED else source()
    return running(attempts=[attempt], source=seen, **status)


ARRIVED = target(seen=vm(VMState.RUNNING, "Migrated"))
CRASHED = target(seen=vm(VMState.CRASHED, "Panicked")).replace(after_attempt=1)


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        (running(), Phase.RUNNING),
        (running(source=source(VMState.PAUSED, "PostCopy")), Phase.POST_COPY),
        (running(target=target(seen=vm(VMState.RUNNING, "PostCopy"))), Phase.POST_COPY),
        (ended(AttemptOutcome.COMPLETED, target=ARRIVED), Phase.SUCCEEDED),
        (ended(AttemptOutcome.COMPLETED), Phase.RUNNING),
        (ended(AttemptOutcome.COMPLETED, target=target(seen=vm(VMState.PAUSED, "Migration"))), Phase.RUNNING),
        (
            ended(AttemptOutcome.COMPLETED, target=target(seen=vm(VMState.RUNNING, "PostCopy"))),
            Phase.POST_COPY,
        ),
        (ended(AttemptOutcome.COMPLETED, target=CRASHED), Phase.FAILED),
        (ended(AttemptOutcome.ABORTED), Phase.FAILED),
        (ended(AttemptOutcome.FAILED), Phase.FAILED),
        (ended(AttemptOutcome.CANCELLED), Phase.CANCELLED),
    ],
)
def test_the_phase_follows_from_what_both_hosts_report(status, phase):
    decision = decided(status)
    assert decision.status.phase == phase
    assert is_true(decision.status.conditions, ConditionType.COMPLETE) == (phase == Phase.SUCCEEDED)
    assert is_true(decision.status.conditions, ConditionType.FAILED) == (phase == Phase.FAILED)
    assert decision.finalizer == (not phase.terminal)


def test_a_cancel_in_post_copy_is_told_to_wait():
    decision = decided(running(source=source(VMState.PAUSED, "PostCopy")), cancel=True)
    reconciling = find_condition(decision.status.conditions, ConditionType.RECONCILING)
    assert "post-copy can't be aborted" in reconciling.message


OUTCOMES = st.sampled_from([None, *AttemptOutcome])
STATES = st.sampled_from(
    sorted({in_words(state, reason) for state in range(8) for reason in range(14)} | {(VMState.ABSENT, "")})
)


@given(
    outcome=OUTCOMES,
    at_source=STATES,
    at_target=STATES,
    cancel=st.booleans(),
    phase=st.sampled_from([None, *Phase]),
    at=st.floats(0, 2000),
)
def test_a_terminal_phase_stays_and_a_second_look_changes_nothing(
    *, outcome, at_source, at_target, cancel, phase, at
):
    attempt = Attempt(number=1, start=NOW, end=None if outcome is None else after(1), outcome=outcome)
    status = running(
        attempts=[attempt], source=source(*at_source), target=target(seen=vm(*at_target)), phase=phase
    )
    first = decided(status, at=at, cancel=cancel)
    if phase is not None and phase.terminal:
        assert first.status.phase == phase
    merged = status.replace(
        **{name: getattr(first.status, name) for name in OWN_FIELDS},
        conditions=[
            *first.status.conditions,
            *(each for each in status.conditions if each.type == ConditionType.MIGRATION_STALLING),
        ],
    )
    second = decided(merged, at=at, cancel=cancel)
    assert second.status.phase == first.status.phase
    assert second.status.desired == first.status.desired
    if first.status.phase is not None and not first.status.phase.terminal:
        assert second.status.conditions == first.status.conditions
