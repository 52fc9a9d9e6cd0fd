"""What is to be feared for a running migration: that nothing is left to try, that its deadline will be missed."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from vmferry_api.migrations import Attempt, Desired, DesiredState, Forecast, VMMigration
from vmferry_api.policies import MigrationPolicySpec
from vmferry_operator.decisions import records
from vmferry_operator.decisions.actions import ActionName
from vmferry_operator.decisions.deadline import deadline
from vmferry_operator.decisions.ladder import behind, elapsed_at
from vmferry_operator.decisions.planner import FULL_THROTTLE
from vmferry_operator.decisions.situations import Situation, situation


class Expected(StrEnum):
    """What the forecast says of the end."""

    CONVERGES = "converges"
    DOES_NOT_CONVERGE = "does_not_converge"
    TOO_EARLY = "too_early"


@dataclass(frozen=True, kw_only=True)
class Prospects:
    """What is to be expected of a migration that runs."""

    expected: Expected
    nothing_left: bool
    """It stalls, and neither policy nor agent has anything left to try but to end it."""
    misses_deadline: bool
    """It will not be over when it has to be."""


def prospects(migration: VMMigration, policy: MigrationPolicySpec, *, now: datetime) -> Prospects | None:
    """What is to be expected; None: no attempt runs.

    Args:
        migration: The migration.
        policy: Its policy with its overrides.
        now: The time.
    """
    stands, desired = situation(migration), migration.status.desired
    attempt = stands.attempt
    if attempt is None or desired is None or migration.status.is_over:
        return None
    forecast = migration.status.forecast
    tries_on = _tries_on(migration, policy, desired, stands)
    return Prospects(
        expected=_expected(forecast),
        nothing_left=stands.stalling_since is not None and not _will_end(stands, forecast) and not tries_on,
        misses_deadline=_misses(
            _deadline(policy, desired, stands, attempt), forecast, tries_on=tries_on, now=now
        ),
    )


def _expected(forecast: Forecast | None) -> Expected:
    if forecast is None:
        return Expected.TOO_EARLY
    return Expected.CONVERGES if forecast.converges else Expected.DOES_NOT_CONVERGE


def _will_end(stands: Situation, forecast: Forecast | None) -> bool:
    return stands.in_post_copy or (forecast is not None and forecast.converges)


def _tries_on(
    migration: VMMigration, policy: MigrationPolicySpec, desired: Desired, stands: Situation
) -> bool:
    """Whether something can still change how it goes, other than ending it."""
    if desired.suspend or records.pending(migration.status.steps):
        return True
    if desired.state == DesiredState.ABORT:
        return False
    if policy.objective is None:
        return _has_a_step_left(policy, desired, migration, stands) or _agent_presses(desired, stands)
    forecast = migration.status.forecast
    if forecast is None:
        return True
    return forecast.next_action is not None and not forecast.next_action.startswith(ActionName.ABORT)


def _has_a_step_left(
    policy: MigrationPolicySpec, desired: Desired, migration: VMMigration, stands: Situation
) -> bool:
    steps = migration.status.steps
    return any(each.abort is None and not behind(each, desired, steps, stands) for each in policy.steps or [])


def _agent_presses(desired: Desired, stands: Situation) -> bool:
    """Whether the agent still raises the downtime, or QEMU the throttle, by itself."""
    progress = stands.progress
    ramp, start = desired.agent_downtime_ramp, desired.start
    granted = progress.max_downtime if progress is not None else None
    if ramp is not None and (granted is None or granted < ramp.max):
        return True
    throttles = start is not None and start.auto_converge is not None
    return throttles and (progress is None or (progress.throttle or 0) < FULL_THROTTLE)


def _deadline(
    policy: MigrationPolicySpec, desired: Desired, stands: Situation, attempt: Attempt
) -> datetime | None:
    """When it must be over: by the objective, by an abort of the policy's, or by the attempt's timeout."""
    times: list[datetime] = []
    wanted = None if policy.objective is None else deadline(policy.objective, stands, attempt)
    if wanted is not None:
        times.append(wanted.at)
    if desired.timeout is not None:
        times.append(attempt.start + desired.timeout)
    for step in policy.steps or []:
        at = elapsed_at(step.after, stands, attempt) if step.abort is not None else None
        if at is not None:
            times.append(at)
    return min(times, default=None)


def _misses(at: datetime | None, forecast: Forecast | None, *, tries_on: bool, now: datetime) -> bool:
    if at is None:
        return False
    if now >= at:
        return True
    if forecast is None:
        return False
    if forecast.converges:
        return forecast.completion is not None and forecast.completion > at
    return not tries_on
