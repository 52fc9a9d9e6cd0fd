"""What should be in force now, and when to look again: the steps of a policy."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from vmferry_api.durations import format_duration, whole_milliseconds
from vmferry_api.migrations import (
    Applied,
    Attempt,
    AttemptOutcome,
    Desired,
    DesiredState,
    MigrationTechnique,
    StepRecord,
)
from vmferry_api.policies import MigrationPolicySpec, Step, Timeout, Trigger
from vmferry_api.quantities import format_quantity
from vmferry_operator.decisions.situations import GIB, Situation

DEFAULT_MAX_DOWNTIME = timedelta(milliseconds=300)
"""QEMU's own."""
_PARAMETERS = {
    "setMaxDowntime": "maxDowntime",
    "setBandwidth": "bandwidth",
    "switchToPostCopy": "technique",
    "suspend": "suspend",
}
"""What the agent calls that which an action changes."""
MAX_RECORDS = 64
"""What the schema allows of the audit trail; the oldest go first."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the planner wants."""

    desired: Desired
    steps: Sequence[StepRecord]
    check_again: datetime | None
    """When the next step falls due if nothing else changes; None: no step waits for the clock."""


@dataclass(frozen=True, kw_only=True)
class _Due:
    at: datetime | None
    """When the trigger holds; None: not foreseeable."""
    trigger: str
    """The trigger with its value, in words."""


def plan(
    policy: MigrationPolicySpec,
    current: Desired | None,
    applied: Applied | None,
    steps: Sequence[StepRecord],
    situation: Situation,
    *,
    now: datetime,
) -> Plan:
    """The parameters that should be in force, with at most one step more than are in force now.

    Args:
        policy: The policy with the migration's overrides.
        current: What was wanted last; None before the start.
        applied: What the agent has carried out.
        steps: The audit trail so far.
        situation: Where the migration stands.
        now: The time.
    """
    steps = settled(steps, applied, ended=situation.ended)
    if current is None:
        desired = first_desired(policy, situation).replace(time=now)
        return Plan(desired=desired, steps=steps, check_again=None)
    desired = _follow(policy, current, situation)
    check_again = None
    taken = None
    attempt = situation.attempt
    if attempt is not None and not situation.in_post_copy and not _pending(steps):
        taken, check_again = _next_step(policy, desired, steps, situation, attempt, now=now)
    if taken is not None:
        place, step, trigger = taken
        action, changes = _effect(step, desired)
        desired = desired.replace(**changes, reason=f"step {place}, {trigger}: {action}")
    if desired != current:
        desired = desired.replace(revision=current.revision + 1, time=now)
    if taken is not None:
        record = StepRecord(time=now, step=place, trigger=trigger, action=action, revision=desired.revision)
        steps = [*steps, record][-MAX_RECORDS:]
    return Plan(desired=desired, steps=steps, check_again=check_again)


def first_desired(policy: MigrationPolicySpec, situation: Situation) -> Desired:
    """What a migration starts with."""
    ramp = policy.agent_downtime_ramp
    bandwidth = policy.bandwidth
    return Desired(
        revision=1,
        state=DesiredState.MIGRATE,
        attempt=1,
        technique=MigrationTechnique.PRE_COPY,
        post_copy_allowed=allows_post_copy(policy),
        max_downtime=None if ramp else policy.max_downtime or DEFAULT_MAX_DOWNTIME,
        agent_downtime_ramp=ramp,
        bandwidth=bandwidth.per_migration if bandwidth else None,
        post_copy_bandwidth=bandwidth.post_copy if bandwidth else None,
        stalling_limit=policy.stalling_limit,
        progress_timeout=policy.progress_timeout,
        timeout=total_timeout(policy.timeout, situation.memory),
        reason="the policy's start",
    )


def allows_post_copy(policy: MigrationPolicySpec) -> bool:
    """Whether the policy may come to want post-copy."""
    return any(step.switch_to_post_copy is not None for step in policy.steps or [])


def total_timeout(timeout: Timeout | None, memory: int | None) -> timedelta | None:
    """The bound on an attempt for a VM of so many bytes; None: no bound."""
    if timeout is None:
        return None
    total = timeout.base + timeout.per_gib * ((memory or 0) / GIB)
    return whole_milliseconds(total) or None


def settled(
    steps: Sequence[StepRecord], applied: Applied | None, *, ended: AttemptOutcome | None
) -> list[StepRecord]:
    """The audit trail with the outcome of each step that the agent has answered.

    Args:
        steps: The audit trail.
        applied: The agent's last answer.
        ended: How the attempt ended; None: it runs, or has not begun.
    """
    return [_settled(step, applied, ended) for step in steps]


def _settled(step: StepRecord, applied: Applied | None, ended: AttemptOutcome | None) -> StepRecord:
    if step.outcome != "Pending":
        return step
    action = step.action.split()[0]
    if applied is not None and applied.revision >= step.revision:
        refusals = [
            f"{error.parameter}: {error.message}"
            for error in applied.errors
            if error.parameter == _PARAMETERS.get(action)
        ]
        outcome = f"Failed: {'; '.join(refusals)}"[:1024] if refusals else "Applied"
        return step.replace(outcome=outcome, effective=applied.time)
    if ended is None:
        return step
    if action == "abort" and ended == AttemptOutcome.ABORTED:
        return step.replace(outcome="Applied")
    return step.replace(outcome="Overtaken: the attempt had ended")


def _pending(steps: Sequence[StepRecord]) -> bool:
    return any(step.outcome == "Pending" for step in steps)


def _follow(policy: MigrationPolicySpec, current: Desired, situation: Situation) -> Desired:
    """What holds at once when a policy is edited: the limits that no step moves."""
    changes = {
        "stalling_limit": policy.stalling_limit,
        "progress_timeout": policy.progress_timeout,
        "timeout": total_timeout(policy.timeout, situation.memory),
        "post_copy_bandwidth": policy.bandwidth.post_copy if policy.bandwidth else None,
    }
    changed = {name: value for name, value in changes.items() if getattr(current, name) != value}
    if not changed:
        return current
    return current.replace(**changed, reason=f"the policy now says so: {', '.join(sorted(changed))}")


def _next_step(
    policy: MigrationPolicySpec,
    desired: Desired,
    steps: Sequence[StepRecord],
    situation: Situation,
    attempt: Attempt,
    *,
    now: datetime,
) -> tuple[tuple[int, Step, str] | None, datetime | None]:
    """The first step in the list that is due, or when the next one will be."""
    waits: list[datetime] = []
    all_behind = True
    for place, step in enumerate(policy.steps or [], start=1):
        if in_force(step, desired):
            continue
        due = (
            _due(step.after, steps, situation, attempt) if all_behind or step.after.stalled is None else None
        )
        all_behind = False
        if due is None:
            continue
        at = due.at
        if at is not None and steps:
            at = max(at, steps[-1].time + policy.min_step_interval)
        if at is not None and at <= now:
            return (place, step, due.trigger), None
        if at is not None:
            waits.append(at)
    return None, min(waits, default=None)


def in_force(step: Step, desired: Desired) -> bool:
    """Whether a step is behind us: its effect is wanted already."""
    if step.set_max_downtime is not None:
        return desired.max_downtime is not None and desired.max_downtime >= step.set_max_downtime
    if step.set_bandwidth is not None:
        return desired.bandwidth is None or desired.bandwidth >= step.set_bandwidth
    if step.switch_to_post_copy is not None:
        return desired.technique == MigrationTechnique.POST_COPY
    if step.suspend is not None:
        return desired.suspend
    return desired.state == DesiredState.ABORT


def _due(after: Trigger, steps: Sequence[StepRecord], situation: Situation, attempt: Attempt) -> _Due | None:
    if after.stalled is not None:
        return _due_stalled(after.stalled, steps, situation)
    if after.passes is not None:
        reached = situation.memory_pass >= after.passes
        return _Due(at=attempt.start if reached else None, trigger=f"pass {after.passes} reached")
    if after.elapsed is not None:
        return _Due(at=attempt.start + after.elapsed, trigger=f"{format_duration(after.elapsed)} elapsed")
    if after.elapsed_per_gib is not None and situation.memory is not None:
        wait = after.elapsed_per_gib * (situation.memory / GIB)
        text = f"{format_duration(wait)} elapsed ({format_duration(after.elapsed_per_gib)} per GiB)"
        return _Due(at=attempt.start + wait, trigger=text)
    return None


def _due_stalled(wait: timedelta, steps: Sequence[StepRecord], situation: Situation) -> _Due | None:
    if situation.stalling_since is None:
        return None
    effects = [step.effective for step in steps if step.effective is not None]
    return _Due(
        at=max([situation.stalling_since, *effects]) + wait,
        trigger=f"stalled for {format_duration(wait)} (needed downtime {situation.needed})",
    )


def _effect(step: Step, desired: Desired) -> tuple[str, dict[str, object]]:
    """What a step does, in words and as changes of `desired`."""
    if step.set_max_downtime is not None:
        old = "the agent's ramp" if desired.max_downtime is None else format_duration(desired.max_downtime)
        return (
            f"setMaxDowntime {old} → {format_duration(step.set_max_downtime)}",
            {"max_downtime": step.set_max_downtime, "agent_downtime_ramp": None},
        )
    if step.set_bandwidth is not None:
        old = "unlimited" if desired.bandwidth is None else format_quantity(desired.bandwidth)
        return (
            f"setBandwidth {old} → {format_quantity(step.set_bandwidth)}",
            {"bandwidth": step.set_bandwidth},
        )
    if step.switch_to_post_copy is not None:
        return "switchToPostCopy", {"technique": MigrationTechnique.POST_COPY}
    if step.suspend is not None:
        return "suspend", {"suspend": True}
    return "abort", {"state": DesiredState.ABORT}
