"""What is owed to a VM after the end, as a table of what both hosts show."""

from datetime import UTC, datetime, timedelta

import pytest

from vmferry_agent.decisions.aftermath import WORTH, Duty, duty, last_word_is_given
from vmferry_api.migrations import (
    Attempt,
    AttemptOutcome,
    SourceReport,
    TargetReport,
    VMMigrationStatus,
    VMReport,
    VMState,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LEFT_BEHIND = VMReport(state=VMState.SHUT_OFF, reason="Migrated")
SHUT_DOWN = VMReport(state=VMState.SHUT_OFF, reason="Shutdown")
SUSPENDED = VMReport(state=VMState.PAUSED, reason="User")
RUNS = VMReport(state=VMState.RUNNING, reason="Migrated")
PAUSED = VMReport(state=VMState.PAUSED, reason="User")
COMING = VMReport(state=VMState.RUNNING, reason="PostCopy")
ABSENT = VMReport(state=VMState.ABSENT)
COMPLETED, FAILED = AttemptOutcome.COMPLETED, AttemptOutcome.FAILED


def after(
    here: VMReport,
    there: VMReport | None,
    outcome: AttemptOutcome | None,
    *,
    suspended: bool = False,
    looked: int = 1,
    ago: timedelta = timedelta(0),
) -> Duty | None:
    end = NOW if outcome else None
    return duty(
        VMMigrationStatus(
            attempts=[Attempt(number=1, start=NOW, end=end, outcome=outcome, suspended=suspended)],
            source=SourceReport(vm=here),
            target=TargetReport(ready=True, vm=there, after_attempt=looked),
        ),
        NOW + ago,
    )


@pytest.mark.parametrize("outcome", [COMPLETED, FAILED])
def test_a_definition_left_behind_goes_once_the_target_is_seen_running_it(outcome: AttemptOutcome) -> None:
    assert after(LEFT_BEHIND, RUNS, outcome) is Duty.UNDEFINE


@pytest.mark.parametrize(
    ("here", "there", "looked"),
    [
        (LEFT_BEHIND, RUNS, 0),
        (LEFT_BEHIND, COMING, 1),
        (LEFT_BEHIND, ABSENT, 1),
        (LEFT_BEHIND, PAUSED, 1),
        (LEFT_BEHIND, SHUT_DOWN, 1),
        (LEFT_BEHIND, None, 1),
        (SHUT_DOWN, RUNS, 1),
        (SUSPENDED, RUNS, 1),
        (RUNS, RUNS, 1),
        (ABSENT, RUNS, 1),
    ],
)
def test_no_definition_goes_that_is_not_proven_to_be_a_left_over(
    here: VMReport, there: VMReport | None, looked: int
) -> None:
    assert after(here, there, COMPLETED, looked=looked) is None


def test_a_guest_that_was_suspended_and_stayed_is_let_run_once_the_target_is_seen_without_it() -> None:
    assert after(SUSPENDED, ABSENT, FAILED, suspended=True) is Duty.RESUME


@pytest.mark.parametrize("there", [SHUT_DOWN, LEFT_BEHIND, VMReport(state=VMState.CRASHED)])
def test_it_is_not_where_the_target_has_a_trace_of_it_since_it_may_have_run_there(there: VMReport) -> None:
    assert after(SUSPENDED, there, FAILED, suspended=True) is None


def test_an_old_word_is_none_since_it_may_have_run_there_meanwhile() -> None:
    assert after(SUSPENDED, ABSENT, FAILED, suspended=True, ago=WORTH) is None
    assert after(LEFT_BEHIND, RUNS, COMPLETED, ago=WORTH) is Duty.UNDEFINE


@pytest.mark.parametrize(
    ("here", "there", "outcome", "suspended", "looked"),
    [
        (SUSPENDED, ABSENT, FAILED, False, 1),
        (SUSPENDED, ABSENT, FAILED, True, 0),
        (SUSPENDED, ABSENT, None, True, 1),
        (SUSPENDED, RUNS, FAILED, True, 1),
        (SUSPENDED, PAUSED, FAILED, True, 1),
        (SUSPENDED, COMING, FAILED, True, 1),
        (SUSPENDED, ABSENT, COMPLETED, True, 1),
        (SUSPENDED, None, FAILED, True, 1),
        (RUNS, ABSENT, FAILED, True, 1),
        (VMReport(state=VMState.PAUSED, reason="PostCopyFailed"), ABSENT, FAILED, True, 1),
        (VMReport(state=VMState.PAUSED, reason="IOError"), ABSENT, FAILED, True, 1),
    ],
)
def test_no_guest_is_let_run_that_others_have_paused_or_that_may_run_elsewhere(
    here: VMReport, there: VMReport | None, outcome: AttemptOutcome | None, *, suspended: bool, looked: int
) -> None:
    assert after(here, there, outcome, suspended=suspended, looked=looked) is None


def test_before_an_attempt_nothing_is_owed() -> None:
    assert duty(VMMigrationStatus(), NOW) is None
    assert duty(VMMigrationStatus(source=SourceReport(vm=LEFT_BEHIND)), NOW) is None


HELD = VMReport(state=VMState.PAUSED, reason="Migration")
STARTING_UP = VMReport(state=VMState.PAUSED, reason="StartingUp")


@pytest.mark.parametrize(
    ("there", "looked", "ago", "given"),
    [
        (ABSENT, 1, 0, True),
        (RUNS, 1, 0, True),
        (PAUSED, 1, 0, True),
        (None, 1, 0, True),
        (RUNS, 0, 0, False),
        (ABSENT, 0, 599, False),
        (HELD, 1, 0, False),
        (STARTING_UP, 1, 0, False),
        (COMING, 1, 599, False),
        (HELD, 0, 600, True),
    ],
)
def test_the_target_s_last_word_is_one_that_stays_true_or_is_waited_for_ten_minutes(
    there: VMReport | None, looked: int, ago: float, *, given: bool
) -> None:
    attempt = Attempt(number=1, start=NOW, end=NOW, outcome=FAILED)
    report = TargetReport(ready=True, vm=there, after_attempt=looked)
    status = VMMigrationStatus(attempts=[attempt], target=report)
    assert last_word_is_given(status, NOW + timedelta(seconds=ago)) is given


def test_a_target_whose_libvirt_is_away_has_yet_to_give_it() -> None:
    attempt = Attempt(number=1, start=NOW, end=NOW, outcome=COMPLETED)
    report = TargetReport(ready=True, vm=RUNS, after_attempt=1, unreachable=True)
    assert not last_word_is_given(VMMigrationStatus(attempts=[attempt], target=report), NOW)


@pytest.mark.parametrize("attempts", [[], [Attempt(number=1, start=NOW)]])
def test_where_nothing_has_ended_there_is_nothing_to_wait_for(attempts: list[Attempt]) -> None:
    status = VMMigrationStatus(attempts=attempts, target=TargetReport(ready=True))
    assert last_word_is_given(status, NOW)
