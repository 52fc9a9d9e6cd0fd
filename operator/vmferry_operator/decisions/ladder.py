"""The steps of a policy: which one is due, or when the next will be."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from vmferry_api.durations import format_duration
from vmferry_api.migrations import Attempt, Desired, DesiredState, MigrationTechnique, StepRecord
from vmferry_api.policies import MigrationPolicySpec, Step, Trigger
from vmferry_operator.decisions import records
from vmferry_operator.decisions.actions import ActionName, Move, Outlook, action_of
from vmferry_operator.decisions.parameters import for_memory
from vmferry_operator.decisions.situations import Situation


@dataclass(frozen=True, kw_only=True)
class _Due:
    at: datetime | None
    """When the trigger holds; None: not foreseeable."""
    trigger: str
    """The trigger with its value, in words."""


def next_step(
    policy: MigrationPolicySpec,
    desired: Desired,
    steps: Sequence[StepRecord],
    situation: Situation,
    attempt: Attempt,
    *,
    now: datetime,
    restarts: bool = True,
) -> Outlook:
    """The step that is due, or when the next one will be.

    Of several the first in the list; but what ends the pre-copy by the clock goes first, at its time.

    Args:
        policy: The policy with the migration's overrides.
        desired: What is wanted so far.
        steps: The audit trail.
        situation: Where the migration stands.
        attempt: The attempt that runs.
        now: The time.
        restarts: Whether an attempt with other options could start at all.
    """
    waits: list[tuple[datetime, bool, str]] = []
    moves: list[tuple[bool, Move]] = []
    all_behind = True
    for place, step in enumerate(policy.steps or [], start=1):
        if behind(step, desired, steps, situation) or (step.restart is not None and not restarts):
            continue
        due = (
            _due(step.after, steps, situation, attempt) if all_behind or step.after.stalled is None else None
        )
        all_behind = False
        if due is None or due.at is None:
            continue
        move = Move(action=action_of(step), trigger=due.trigger, step=place)
        is_deadline = _is_deadline(step)
        at = due.at if is_deadline or not steps else max(due.at, steps[-1].time + policy.min_step_interval)
        if at <= now:
            moves.append((not is_deadline, move))
        else:
            waits.append((at, not is_deadline, move.action.text(desired)))
    if moves:
        return Outlook(move=min(moves, key=lambda each: each[0])[1])
    if not waits:
        return Outlook()
    at, _, text = min(waits, key=lambda each: each[:2])  # of those at one time as above
    return Outlook(check_again=at, next_action=text, next_time=at)


def _is_deadline(step: Step) -> bool:
    """Whether it ends the pre-copy by the clock."""
    timed = step.after.elapsed is not None or step.after.elapsed_per_gib is not None
    return timed and any(each is not None for each in (step.switch_to_post_copy, step.suspend, step.abort))


def behind(step: Step, desired: Desired, steps: Sequence[StepRecord], situation: Situation) -> bool:
    """Whether a step is behind us: its effect is wanted already, or the host has refused it."""
    if step.set_max_downtime is not None:
        wanted = desired.max_downtime is not None and desired.max_downtime >= step.set_max_downtime
    elif step.set_bandwidth is not None:
        wanted = desired.bandwidth is None or desired.bandwidth >= step.set_bandwidth
    elif step.switch_to_post_copy is not None:
        wanted = desired.technique == MigrationTechnique.POST_COPY
    elif step.suspend is not None:
        wanted = desired.suspend
    elif step.restart is not None:
        wanted = False
    else:
        wanted = desired.state == DesiredState.ABORT
    return wanted or _taken(step, steps, situation, desired.attempt)


def _taken(step: Step, steps: Sequence[StepRecord], situation: Situation, attempt: int) -> bool:
    """Whether the trail has it: a restart in this try, anything else as refused since then."""
    if not steps:
        return False
    action = action_of(step)
    restarts = action.name == ActionName.RESTART
    keeps = restarts or action.name in {ActionName.SET_MAX_DOWNTIME, ActionName.SET_BANDWIDTH}
    trail = records.since(steps, situation.first_attempt_of_try if keeps else attempt)
    return any(records.action(each) == action and (restarts or records.refused(each)) for each in trail)


def _due(after: Trigger, steps: Sequence[StepRecord], situation: Situation, attempt: Attempt) -> _Due | None:
    if after.stalled is not None:
        return _due_stalled(after.stalled, steps, situation)
    if after.passes is not None:
        reached = situation.memory_pass >= after.passes
        return _Due(at=attempt.start if reached else None, trigger=f"pass {after.passes} reached")
    at = elapsed_at(after, situation, attempt)
    if at is None:
        return None
    trigger = f"{format_duration(at - attempt.start)} elapsed"
    if after.elapsed_per_gib is not None:
        trigger += f" ({format_duration(after.elapsed_per_gib)} per GiB)"
    return _Due(at=at, trigger=trigger)


def elapsed_at(after: Trigger, situation: Situation, attempt: Attempt) -> datetime | None:
    """When a trigger by the clock holds; None: it is by another, or the VM's memory is not known."""
    if after.elapsed is not None:
        return attempt.start + after.elapsed
    if after.elapsed_per_gib is not None and situation.memory is not None:
        return attempt.start + for_memory(timedelta(0), after.elapsed_per_gib, situation.memory)
    return None


def _due_stalled(wait: timedelta, steps: Sequence[StepRecord], situation: Situation) -> _Due | None:
    if situation.stalling_since is None:
        return None
    effects = [step.effective for step in steps if step.effective is not None]
    return _Due(
        at=max([situation.stalling_since, *effects]) + wait,
        trigger=f"stalled for {format_duration(wait)} (needed downtime {situation.needed})",
    )
