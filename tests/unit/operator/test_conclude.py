from datetime import timedelta

import pytest
from migrations_in_words import NOW, after, migration, running, source, target, vm

from vmferry_api.migrations import Attempt, AttemptOutcome, Phase, TargetReport, VMMigrationStatus, VMState
from vmferry_operator.decisions.conclude import conclude

IN_POST_COPY = source(VMState.PAUSED, "PostCopy")


def ended(outcome: AttemptOutcome, target_report: TargetReport | None, **status: object) -> VMMigrationStatus:
    """The source's agent says how it ended; the target's what it sees."""
    attempt = Attempt(
        number=1,
        start=NOW,
        end=after(9.5),
        outcome=outcome,
        error=None if outcome == AttemptOutcome.COMPLETED else "what libvirt said",
        downtime=timedelta(milliseconds=95),
    )
    return running(attempts=[attempt], target=target_report, **status)


def arrived(state: VMState, reason: str) -> TargetReport:
    return target(seen=vm(state, reason))


def test_before_an_attempt_there_is_nothing_to_conclude() -> None:
    assert conclude(migration(VMMigrationStatus(source=source(), target=target()))) is None


@pytest.mark.parametrize(
    ("status", "phase", "reason"),
    [
        (running(), Phase.RUNNING, "Migrating"),
        (running(source=IN_POST_COPY), Phase.POST_COPY, "PostCopy"),
        (running(source=source(VMState.PAUSED, "PostCopyFailed")), Phase.POST_COPY, "PostCopy"),
        (running(target=arrived(VMState.RUNNING, "PostCopy")), Phase.POST_COPY, "PostCopy"),
        (running(phase=Phase.POST_COPY), Phase.POST_COPY, "PostCopy"),
        (running(target=arrived(VMState.PAUSED, "Migration")), Phase.RUNNING, "Migrating"),
        (running(source=source(VMState.PAUSED, "User")), Phase.RUNNING, "Migrating"),
    ],
)
def test_while_it_runs_either_host_can_tell_of_post_copy_and_nothing_takes_it_back(
    status: VMMigrationStatus, phase: Phase, reason: str
) -> None:
    conclusion = conclude(migration(status))
    assert conclusion is not None
    assert (conclusion.phase, conclusion.reason) == (phase, reason)


@pytest.mark.parametrize(
    "report",
    [
        None,
        target(),
        arrived(VMState.ABSENT, ""),
        arrived(VMState.PAUSED, "Migration"),
        arrived(VMState.RUNNING, "PostCopy"),
        arrived(VMState.RUNNING, "PostCopyFailed"),
    ],
)
def test_the_source_s_word_alone_is_no_success(report: TargetReport | None) -> None:
    conclusion = conclude(migration(ended(AttemptOutcome.COMPLETED, report)))
    assert conclusion is not None
    assert not conclusion.phase.terminal
    assert conclusion.reason == "Confirming"


@pytest.mark.parametrize(
    ("state", "reason"),
    [(VMState.RUNNING, "Migrated"), (VMState.RUNNING, "Unpaused"), (VMState.PAUSED, "User")],
)
def test_it_has_succeeded_when_the_target_has_the_vm_running_or_as_its_user_left_it(
    state: VMState, reason: str
) -> None:
    conclusion = conclude(migration(ended(AttemptOutcome.COMPLETED, arrived(state, reason))))
    assert conclusion is not None
    assert (conclusion.phase, conclusion.reason) == (Phase.SUCCEEDED, "Migrated")
    assert "node-b" in conclusion.message
    assert conclusion.message.endswith(", stopped for 95ms, moved in 9.5s")


def test_the_target_s_word_alone_is_no_success_either() -> None:
    conclusion = conclude(migration(running(target=arrived(VMState.RUNNING, "Migrated"))))
    assert conclusion is not None
    assert conclusion.phase == Phase.RUNNING


@pytest.mark.parametrize(
    ("outcome", "phase", "reason"),
    [
        (AttemptOutcome.CANCELLED, Phase.CANCELLED, "Cancelled"),
        (AttemptOutcome.ABORTED, Phase.FAILED, "Aborted"),
        (AttemptOutcome.FAILED, Phase.FAILED, "MigrationFailed"),
    ],
)
def test_an_end_that_left_the_vm_is_told_in_the_agent_s_words(
    outcome: AttemptOutcome, phase: Phase, reason: str
) -> None:
    conclusion = conclude(migration(ended(outcome, target())))
    assert conclusion is not None
    assert (conclusion.phase, conclusion.reason, conclusion.message) == (phase, reason, "what libvirt said")


@pytest.mark.parametrize(("words", "said"), [({"cancel": True}, "spec.cancel"), ({}, "object was deleted")])
@pytest.mark.parametrize(
    ("status", "phase", "what"),
    [
        (running(), Phase.RUNNING, "waiting for the agent of node-a to abort"),
        (running(source=IN_POST_COPY), Phase.POST_COPY, "but post-copy can't be aborted"),
    ],
)
def test_a_cancel_changes_no_phase_and_says_what_it_waits_for(
    words: dict[str, bool], said: str, status: VMMigrationStatus, phase: Phase, what: str
) -> None:
    deleted = {} if words else {"deletionTimestamp": NOW}
    conclusion = conclude(migration(status, deleted, **words))
    assert conclusion is not None
    assert conclusion.phase == phase
    assert what in conclusion.message
    assert said in conclusion.message


@pytest.mark.parametrize(("state", "reason"), [(VMState.SHUT_OFF, "Migrated"), (VMState.CRASHED, "Unknown")])
def test_a_left_over_definition_on_the_target_is_not_the_vm_that_arrived(state: VMState, reason: str) -> None:
    before_the_start = arrived(state, reason)
    assert before_the_start.ready, "a target with such a left-over is ready (decisions/readiness.py)"
    conclusion = conclude(migration(ended(AttemptOutcome.COMPLETED, before_the_start)))
    assert conclusion is not None
    assert not conclusion.phase.terminal


def test_a_vm_that_the_target_has_seen_arrive_has_not_stayed() -> None:
    status = ended(
        AttemptOutcome.FAILED,
        arrived(VMState.RUNNING, "Migrated"),
        source=source(VMState.SHUT_OFF, "Crashed"),
    )
    conclusion = conclude(migration(status))
    assert conclusion is not None
    assert conclusion.phase != Phase.FAILED


def test_a_vm_that_arrived_paused_is_not_said_to_run() -> None:
    conclusion = conclude(migration(ended(AttemptOutcome.COMPLETED, arrived(VMState.PAUSED, "IOError"))))
    assert conclusion is not None
    assert "runs on node-b" not in conclusion.message


@pytest.mark.parametrize("state", [VMState.ABSENT, VMState.SHUT_OFF, VMState.CRASHED])
def test_a_vm_that_is_down_after_the_end_did_not_arrive(state: VMState) -> None:
    looked = arrived(state, "Unknown").replace(after_attempt=1)
    conclusion = conclude(migration(ended(AttemptOutcome.COMPLETED, looked)))
    assert conclusion is not None
    assert (conclusion.phase, conclusion.reason) == (Phase.FAILED, "VMNotRunning")


@pytest.mark.parametrize("outcome", [each for each in AttemptOutcome if each != AttemptOutcome.COMPLETED])
def test_a_vm_that_runs_twice_is_shouted_about(outcome: AttemptOutcome) -> None:
    conclusion = conclude(migration(ended(outcome, arrived(VMState.RUNNING, "Migrated"))))
    assert conclusion is not None
    assert (conclusion.phase, conclusion.reason) == (Phase.FAILED, "VMOnBothHosts")


@pytest.mark.parametrize(("looked", "reason"), [(0, "Confirming"), (1, "VMLost")])
def test_a_vm_that_its_source_has_lost_is_looked_for_on_the_target(looked: int, reason: str) -> None:
    there = arrived(VMState.ABSENT, "").replace(after_attempt=looked)
    gone = source(VMState.SHUT_OFF, "Crashed")
    conclusion = conclude(migration(ended(AttemptOutcome.FAILED, there, source=gone)))
    assert conclusion is not None
    assert conclusion.reason == reason
