"""How a migration ends, as a table of what both hosts show once the source's agent has closed the attempt."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from migrations_in_words import NOW, after, migration, running, source, target, vm

from vmferry_agent.hypervisor.states import in_words
from vmferry_api.conditions import RECOVERY_EXHAUSTED, ConditionType, Status, condition
from vmferry_api.migrations import (
    Attempt,
    AttemptOutcome,
    Phase,
    SourceReport,
    VMMigrationStatus,
    VMState,
)
from vmferry_api.owners import SOURCE_AGENT
from vmferry_operator.decisions.conclude import RAN_ON_AFTER_SWITCH_OVER, Conclusion, conclude

Seen = tuple[VMState, str | None]

RUNS = (VMState.RUNNING, "Booted")
RAN_ON = (VMState.RUNNING, "MigrationCanceled")
MIGRATED = (VMState.RUNNING, "Migrated")
PAUSED = (VMState.PAUSED, "User")
SWITCHING = (VMState.PAUSED, "Migration")
STARTING_UP = (VMState.PAUSED, "StartingUp")
LEAVING = (VMState.PAUSED, "PostCopy")
CUT_OFF = (VMState.PAUSED, "PostCopyFailed")
COMING = (VMState.RUNNING, "PostCopy")
FROZEN = (VMState.RUNNING, "PostCopyFailed")
LEFT = (VMState.SHUT_OFF, "Migrated")
CRASHED = (VMState.SHUT_OFF, "Crashed")
ABSENT = (VMState.ABSENT, None)
ASLEEP = (VMState.OTHER, "Unknown")

INTERRUPTED = condition(
    [], ConditionType.POST_COPY_INTERRUPTED, Status.TRUE, "LinkLost", "post-copy is interrupted", now=NOW
)
APART = condition([], ConditionType.POST_COPY_INTERRUPTED, Status.FALSE, "DaemonsApart", now=NOW)
COMPLETED, FAILED = AttemptOutcome.COMPLETED, AttemptOutcome.FAILED
ABORTED, CANCELLED = AttemptOutcome.ABORTED, AttemptOutcome.CANCELLED
SUCCEEDED = (Phase.SUCCEEDED, "Migrated")
STAYED = (Phase.FAILED, "MigrationFailed")
ON_BOTH = (Phase.FAILED, "VMOnBothHosts")
LOST = (Phase.FAILED, "VMLost")
NOT_RUNNING = (Phase.FAILED, "VMNotRunning")
VM_FROZEN = (Phase.POST_COPY, "VMFrozen")
"""A person must destroy it first."""
CONFIRMING = (Phase.RUNNING, "Confirming")
CONFIRMING_POST_COPY = (Phase.POST_COPY, "Confirming")


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is seen, and what follows; why, where it is not plain."""

    outcome: AttemptOutcome
    here: Seen | None
    there: Seen | None
    looked: bool = True
    source_looked: bool = True
    want: tuple[Phase, str] = field()
    why: str = ""
    again: bool = False


def ended(
    outcome: AttemptOutcome,
    here: Seen | None,
    there: Seen | None,
    *,
    looked: bool,
    source_looked: bool = True,
) -> VMMigrationStatus:
    """The source's agent says how attempt 1 ended; both say what they see, or have seen before the end."""
    attempt = Attempt(
        number=1,
        start=NOW,
        end=after(9.5),
        outcome=outcome,
        error=None if outcome == COMPLETED else "what libvirt said",
        downtime=timedelta(milliseconds=95),
    )
    report = target(seen=vm(*there) if there else None).replace(after_attempt=int(looked))
    seen = (source(*here) if here else SourceReport()).replace(after_attempt=int(source_looked))
    return running(attempts=[attempt], source=seen, target=report)


def conclusion(
    outcome: AttemptOutcome,
    here: Seen | None,
    there: Seen | None,
    *,
    looked: bool,
    source_looked: bool = True,
) -> Conclusion | None:
    status = ended(outcome, here, there, looked=looked, source_looked=source_looked)
    return conclude(migration(status))


def concluded(status: VMMigrationStatus) -> Conclusion:
    found = conclude(migration(status))
    assert found is not None
    return found


CASES = [
    # The source says that it completed, and no longer has it.
    Case(outcome=COMPLETED, here=ABSENT, there=MIGRATED, looked=False, want=SUCCEEDED),
    Case(outcome=COMPLETED, here=LEFT, there=MIGRATED, want=SUCCEEDED),
    Case(outcome=COMPLETED, here=LEFT, there=(VMState.RUNNING, "Unpaused"), want=SUCCEEDED),
    Case(outcome=COMPLETED, here=ABSENT, there=PAUSED, want=SUCCEEDED, why="as its user had paused it"),
    Case(outcome=COMPLETED, here=ABSENT, there=None, want=CONFIRMING, why="no success by one word alone"),
    Case(outcome=COMPLETED, here=ABSENT, there=ABSENT, looked=False, want=CONFIRMING),
    Case(outcome=COMPLETED, here=ABSENT, there=LEFT, looked=False, want=CONFIRMING, why="an old left-over"),
    Case(
        outcome=COMPLETED, here=ABSENT, there=CRASHED, looked=False, want=CONFIRMING, why="an old left-over"
    ),
    Case(outcome=COMPLETED, here=ABSENT, there=SWITCHING, want=CONFIRMING),
    Case(outcome=COMPLETED, here=ABSENT, there=STARTING_UP, looked=False, want=CONFIRMING, why="an old look"),
    Case(outcome=COMPLETED, here=ABSENT, there=COMING, want=CONFIRMING_POST_COPY),
    Case(outcome=COMPLETED, here=LEFT, there=FROZEN, looked=False, want=CONFIRMING_POST_COPY),
    Case(outcome=COMPLETED, here=ABSENT, there=ABSENT, want=NOT_RUNNING),
    Case(outcome=COMPLETED, here=ABSENT, there=CRASHED, want=NOT_RUNNING),
    Case(outcome=COMPLETED, here=ABSENT, there=ASLEEP, want=NOT_RUNNING),
    # It says so and still has it: never a success.
    Case(outcome=COMPLETED, here=RUNS, there=MIGRATED, want=ON_BOTH),
    Case(
        outcome=COMPLETED, here=SWITCHING, there=MIGRATED, want=CONFIRMING, why="libvirt may let it run again"
    ),
    Case(outcome=COMPLETED, here=RUNS, there=ABSENT, looked=False, want=CONFIRMING),
    Case(outcome=COMPLETED, here=RUNS, there=ABSENT, want=STAYED),
    # It says that the VM stayed, and it was never stopped for switching over: nothing can run there.
    Case(outcome=FAILED, here=RUNS, there=ABSENT, looked=False, want=STAYED, again=True),
    Case(outcome=FAILED, here=RUNS, there=None, looked=False, want=STAYED, again=True),
    Case(outcome=FAILED, here=RUNS, there=SWITCHING, looked=False, want=STAYED, again=True),
    Case(
        outcome=FAILED, here=MIGRATED, there=SWITCHING, want=STAYED, again=True, why="it came from elsewhere"
    ),
    Case(
        outcome=ABORTED, here=RUNS, there=SWITCHING, looked=False, want=(Phase.FAILED, "Aborted"), again=True
    ),
    Case(outcome=CANCELLED, here=RUNS, there=SWITCHING, looked=False, want=(Phase.CANCELLED, "Cancelled")),
    # It was stopped for switching over, or is paused, so that nobody can tell: the target is waited for.
    Case(
        outcome=FAILED,
        here=RAN_ON,
        there=SWITCHING,
        looked=False,
        want=CONFIRMING,
        why="it may run any moment",
    ),
    Case(outcome=FAILED, here=RAN_ON, there=SWITCHING, want=CONFIRMING),
    Case(outcome=FAILED, here=RAN_ON, there=None, looked=False, want=CONFIRMING),
    Case(outcome=FAILED, here=RAN_ON, there=ABSENT, looked=False, want=CONFIRMING),
    Case(outcome=FAILED, here=RAN_ON, there=MIGRATED, looked=False, want=ON_BOTH),
    Case(outcome=FAILED, here=RAN_ON, there=ABSENT, want=STAYED, again=True),
    Case(outcome=CANCELLED, here=RAN_ON, there=SWITCHING, looked=False, want=CONFIRMING),
    Case(outcome=CANCELLED, here=RAN_ON, there=LEFT, want=(Phase.CANCELLED, "Cancelled")),
    Case(outcome=ABORTED, here=PAUSED, there=SWITCHING, looked=False, want=CONFIRMING),
    Case(outcome=ABORTED, here=PAUSED, there=ABSENT, want=(Phase.FAILED, "Aborted"), again=True),
    Case(
        outcome=FAILED, here=PAUSED, there=MIGRATED, want=ON_BOTH, why="whoever resumes it makes it run twice"
    ),
    Case(outcome=FAILED, here=PAUSED, there=PAUSED, want=ON_BOTH),
    Case(outcome=FAILED, here=ASLEEP, there=ABSENT, want=STAYED, again=True),
    Case(outcome=FAILED, here=ASLEEP, there=MIGRATED, want=ON_BOTH),
    # libvirt has left the source stopped in the middle of switching over.
    Case(outcome=FAILED, here=SWITCHING, there=MIGRATED, want=CONFIRMING, why="libvirt may let it run again"),
    Case(outcome=FAILED, here=SWITCHING, there=SWITCHING, want=CONFIRMING),
    Case(outcome=FAILED, here=SWITCHING, there=ABSENT, looked=False, want=CONFIRMING),
    Case(outcome=FAILED, here=SWITCHING, there=ABSENT, want=STAYED, why="whole, but a person must resume it"),
    # The source has lost it: the target decides.
    Case(outcome=FAILED, here=CRASHED, there=MIGRATED, looked=False, want=SUCCEEDED),
    Case(outcome=CANCELLED, here=ABSENT, there=MIGRATED, want=SUCCEEDED, why="the cancel came too late"),
    Case(outcome=FAILED, here=CRASHED, there=SWITCHING, want=CONFIRMING),
    Case(outcome=FAILED, here=CRASHED, there=ABSENT, looked=False, want=CONFIRMING),
    Case(outcome=FAILED, here=CRASHED, there=ABSENT, want=LOST),
    Case(outcome=CANCELLED, here=ABSENT, there=LEFT, want=LOST),
    Case(
        outcome=FAILED, here=CRASHED, there=COMING, want=VM_FROZEN, why="its link is silent: no host notices"
    ),
    Case(outcome=FAILED, here=LEFT, there=COMING, want=CONFIRMING_POST_COPY, why="it has all, and ends soon"),
    Case(outcome=FAILED, here=CRASHED, there=FROZEN, looked=False, want=CONFIRMING_POST_COPY),
    Case(
        outcome=FAILED,
        here=CRASHED,
        there=FROZEN,
        want=(Phase.POST_COPY, "VMFrozen"),
        why="a person must fence it",
    ),
    Case(outcome=FAILED, here=CUT_OFF, there=CRASHED, want=VM_FROZEN),
    Case(
        outcome=FAILED,
        here=CUT_OFF,
        there=MIGRATED,
        want=CONFIRMING_POST_COPY,
        why="the source ends soon",
    ),
    # The source has closed the attempt, and what it says of the VM is from before.
    Case(outcome=COMPLETED, here=RUNS, there=MIGRATED, source_looked=False, want=CONFIRMING),
    Case(outcome=FAILED, here=RAN_ON, there=MIGRATED, source_looked=False, want=CONFIRMING),
    Case(outcome=FAILED, here=PAUSED, there=PAUSED, source_looked=False, want=CONFIRMING),
    Case(outcome=FAILED, here=ASLEEP, there=MIGRATED, source_looked=False, want=CONFIRMING),
    Case(outcome=COMPLETED, here=RUNS, there=ABSENT, source_looked=False, want=CONFIRMING),
    Case(outcome=COMPLETED, here=LEFT, there=MIGRATED, source_looked=False, want=SUCCEEDED, why="it is gone"),
    Case(outcome=FAILED, here=RUNS, there=ABSENT, source_looked=False, want=STAYED, again=True),
    # The source has not said what it sees.
    Case(outcome=FAILED, here=None, there=ABSENT, want=CONFIRMING),
    Case(outcome=COMPLETED, here=None, there=MIGRATED, want=CONFIRMING),
]


@pytest.mark.parametrize(
    "case",
    CASES,
    ids=lambda case: (
        f"{case.outcome}: {case.here} {'' if case.source_looked else 'not '}looked, "
        f"{case.there} {'' if case.looked else 'not '}looked"
    ),
)
def test_the_end_follows_from_what_both_hosts_show(case: Case) -> None:
    found = conclusion(
        case.outcome, case.here, case.there, looked=case.looked, source_looked=case.source_looked
    )
    assert found is not None
    assert (found.phase, found.reason, found.again) == (*case.want, case.again), case.why


SIGHTINGS = st.sampled_from(
    sorted(
        {(*in_words(state, reason),) for state in range(8) for reason in range(14)} | {(VMState.ABSENT, "")}
    )
)


@given(
    outcome=st.sampled_from(AttemptOutcome),
    here=SIGHTINGS,
    there=SIGHTINGS,
    looked=st.booleans(),
    source_looked=st.booleans(),
)
def test_no_end_says_what_a_host_contradicts(
    *, outcome: AttemptOutcome, here: Seen, there: Seen, looked: bool, source_looked: bool
) -> None:
    found = conclusion(outcome, here, there, looked=looked, source_looked=source_looked)
    if found is None or not found.phase.terminal:
        return
    runs_here, runs_there = here[0] == VMState.RUNNING, there[0] == VMState.RUNNING
    if found.phase == Phase.SUCCEEDED:
        assert not runs_here
        assert there[0] in {VMState.RUNNING, VMState.PAUSED}
    elif found.reason in {"VMLost", "VMNotRunning"}:
        assert not runs_here
        assert not runs_there
        assert looked
    elif found.reason == "VMOnBothHosts":
        assert source_looked
        assert here[0] != VMState.ABSENT
        assert there[0] in {VMState.RUNNING, VMState.PAUSED}
    else:
        assert not runs_there
        assert looked or (runs_here and here[1] != RAN_ON_AFTER_SWITCH_OVER)


def test_before_an_attempt_there_is_nothing_to_conclude() -> None:
    assert conclude(migration(VMMigrationStatus(source=source(), target=target()))) is None


@pytest.mark.parametrize(
    ("status", "phase", "reason"),
    [
        (running(), Phase.RUNNING, "Migrating"),
        (running(source=source(*LEAVING)), Phase.POST_COPY, "PostCopy"),
        (running(source=source(*CUT_OFF)), Phase.POST_COPY, "PostCopy"),
        (running(target=target(seen=vm(*COMING))), Phase.POST_COPY, "PostCopy"),
        (running(phase=Phase.POST_COPY), Phase.POST_COPY, "PostCopy"),
        (running(target=target(seen=vm(*SWITCHING))), Phase.RUNNING, "Migrating"),
        (running(source=source(*LEAVING), conditions=[INTERRUPTED]), Phase.RECOVERING, "LinkLost"),
        (running(source=source(*CUT_OFF), conditions=[APART]), Phase.POST_COPY, "PostCopy"),
        (running(source=source(*PAUSED)), Phase.RUNNING, "Migrating"),
        (running(target=target(seen=vm(*MIGRATED))), Phase.RUNNING, "Migrating"),
    ],
)
def test_while_it_runs_either_host_can_tell_of_post_copy_and_nothing_takes_it_back(
    status: VMMigrationStatus, phase: Phase, reason: str
) -> None:
    found = concluded(status)
    assert (found.phase, found.reason) == (phase, reason)


@pytest.mark.parametrize(("words", "said"), [({"cancel": True}, "spec.cancel"), ({}, "object was deleted")])
@pytest.mark.parametrize(
    ("status", "phase", "what"),
    [
        (running(), Phase.RUNNING, "waiting for the agent of node-a to abort"),
        (running(source=source(*LEAVING)), Phase.POST_COPY, "but post-copy can't be aborted"),
    ],
)
def test_a_cancel_changes_no_phase_and_says_what_it_waits_for(
    words: dict[str, bool], said: str, status: VMMigrationStatus, phase: Phase, what: str
) -> None:
    deleted = {} if words else {"deletionTimestamp": NOW}
    found = conclude(migration(status, deleted, **words))
    assert found is not None
    assert found.phase == phase
    assert what in found.message
    assert said in found.message


@pytest.mark.parametrize("here", [RUNS, RAN_ON, PAUSED])
def test_an_attempt_that_was_restarted_is_no_end_but_the_time_between_two(here: Seen) -> None:
    assert conclusion(AttemptOutcome.RESTARTED, here, ABSENT, looked=True) is None


def test_a_restart_that_came_too_late_is_the_end_that_it_was() -> None:
    found = conclusion(AttemptOutcome.RESTARTED, ABSENT, MIGRATED, looked=True)
    assert found is not None
    assert found.phase == Phase.SUCCEEDED


@pytest.mark.parametrize(
    ("outcome", "here", "there", "says"),
    [
        (COMPLETED, ABSENT, MIGRATED, "db-1 runs on node-b, stopped for 95ms, moved in 9.5s"),
        (
            COMPLETED,
            ABSENT,
            (VMState.PAUSED, "IOError"),
            "db-1 is on node-b, paused (IOError), stopped for 95ms, moved in 9.5s",
        ),
        (COMPLETED, ABSENT, ABSENT, "db-1 left for node-b but is Absent there; look at its log"),
        (FAILED, RUNS, ABSENT, "what libvirt said"),
        (
            FAILED,
            RAN_ON,
            MIGRATED,
            "db-1 is Running (MigrationCanceled) on node-a and Running (Migrated) on node-b",
        ),
        (
            FAILED,
            CRASHED,
            FROZEN,
            "db-1 stands still on node-b for ever, since the rest of its memory was on node-a",
        ),
        (
            FAILED,
            CUT_OFF,
            CRASHED,
            "db-1 stands still on node-a for ever, since the rest of its memory was on node-b",
        ),
        (
            FAILED,
            SWITCHING,
            ABSENT,
            "what libvirt said; db-1 is Paused (Migration) on node-a: look at it there",
        ),
        (CANCELLED, ABSENT, LEFT, "db-1 runs on neither node-a nor node-b: what libvirt said"),
    ],
)
def test_the_message_says_where_it_is(outcome: AttemptOutcome, here: Seen, there: Seen, says: str) -> None:
    found = conclusion(outcome, here, there, looked=True)
    assert found is not None
    assert found.message.startswith(says)


@pytest.mark.parametrize(
    ("here", "there", "left", "lost", "remains"),
    [
        (
            CRASHED,
            FROZEN,
            "node-b",
            "node-a",
            "on node-a its definition, ShutOff (Crashed); on node-b one half, Running (PostCopyFailed)",
        ),
        (ABSENT, COMING, "node-b", "node-a", "on node-a nothing; on node-b one half, Running (PostCopy)"),
        (
            CUT_OFF,
            ABSENT,
            "node-a",
            "node-b",
            "on node-a one half, Paused (PostCopyFailed); on node-b nothing",
        ),
    ],
)
def test_what_is_frozen_is_told_with_the_command_that_ends_it_once_the_other_host_is_known_to_be_off(
    here: Seen, there: Seen, left: str, lost: str, remains: str
) -> None:
    found = conclusion(FAILED, here, there, looked=True)
    assert found is not None
    assert (found.reason, found.stuck) == ("VMFrozen", True)
    assert found.message == (
        f"db-1 stands still on {left} for ever, since the rest of its memory was on {lost}. Fence {lost} first "
        f"(see that it is off, or that db-1 is not started there), then destroy db-1 on {left} (there: virsh "
        "destroy db-1), and only then start it anywhere. vmferry destroys and starts nothing by itself. What is "
        f"left of it: {remains}"
    )


def test_what_is_left_of_a_lost_vm_is_told_and_where() -> None:
    found = conclusion(FAILED, CRASHED, ABSENT, looked=True)
    assert found is not None
    assert found.message == (
        "db-1 runs on neither node-a nor node-b: what libvirt said. What is left of it: on node-a its definition, "
        "ShutOff (Crashed); on node-b nothing"
    )


@pytest.mark.parametrize("outcome", [FAILED, ABORTED, CANCELLED])
@pytest.mark.parametrize(
    ("here", "source_looked", "says"),
    [
        (RUNS, True, "what libvirt said; db-1 goes on running on node-a"),
        (RUNS, False, "what libvirt said"),
        (PAUSED, True, "what libvirt said; db-1 is Paused (User) on node-a"),
        (PAUSED, False, "what libvirt said"),
        (SWITCHING, True, "what libvirt said; db-1 is Paused (Migration) on node-a: look at it there"),
    ],
)
def test_a_vm_that_stayed_is_said_to_run_on_only_where_its_source_has_looked_since(
    outcome: AttemptOutcome, here: Seen, says: str, *, source_looked: bool
) -> None:
    found = conclusion(outcome, here, ABSENT, looked=True, source_looked=source_looked)
    assert found is not None
    assert found.message == says


def test_what_the_source_s_agent_has_yet_to_look_at_is_told_while_it_is_waited_for() -> None:
    found = concluded(ended(FAILED, RAN_ON, MIGRATED, looked=True, source_looked=False))
    assert found.message == (
        "db-1 is Running (Migrated) on node-b and was Running (MigrationCanceled) on node-a before the end of "
        "attempt 1; waiting for the agent of node-a to look at it there since"
    )
    assert found.awaits == SOURCE_AGENT


def test_what_the_target_s_agent_can_t_see_is_told_while_it_is_waited_for() -> None:
    status = ended(FAILED, RAN_ON, SWITCHING, looked=False)
    assert status.target is not None
    blind = status.target.replace(message="libvirt can't be asked: no answer")
    found = concluded(status.replace(target=blind))
    assert "waiting for the agent of node-b to see what has become of it there" in found.message
    assert "node-b says: libvirt can't be asked" in found.message


def test_an_interruption_that_is_given_up_waits_for_a_person_and_is_no_end() -> None:
    given_up = INTERRUPTED.replace(reason=RECOVERY_EXHAUSTED, message="tried as often as the policy says")
    found = concluded(running(source=source(*CUT_OFF), conditions=[given_up]))
    assert (found.phase, found.reason, found.stuck) == (Phase.RECOVERING, RECOVERY_EXHAUSTED, True)
    assert "tried as often as the policy says" in found.message


def test_what_to_do_where_the_source_is_lost_in_post_copy_names_both_nodes_and_fences_first() -> None:
    found = concluded(running(source=source(*LEAVING)))
    assert "If node-a is lost: db-1 then stands still on node-b" in found.if_silent
    assert "Fence node-a first" in found.if_silent


@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.POST_COPY])
def test_that_its_source_s_libvirt_is_away_is_told_of_a_migration_that_runs(phase: Phase) -> None:
    there = COMING if phase == Phase.POST_COPY else STARTING_UP
    seen = migration(
        VMMigrationStatus(
            phase=phase,
            attempts=[Attempt(number=1, start=NOW)],
            source=SourceReport(
                vm=vm(*(LEAVING if phase == Phase.POST_COPY else RUNS)),
                unreachable=True,
                message="libvirt can't be asked: Connection refused",
            ),
            target=target(seen=vm(*there)),
        )
    )
    told = conclude(seen)
    assert told is not None
    assert (told.phase, told.reason, told.has_said_why) == (phase, "HypervisorUnreachable", True)
    assert told.message.endswith(
        "QEMU goes on with it unseen: node-a says: libvirt can't be asked: Connection refused"
    )
