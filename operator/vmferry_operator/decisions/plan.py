"""What should be in force now, and when to look again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from vmferry_api.migrations import (
    Applied,
    Attempt,
    Desired,
    DesiredState,
    MigrationTechnique,
    StepRecord,
)
from vmferry_api.policies import MigrationPolicySpec
from vmferry_operator.decisions import records
from vmferry_operator.decisions.actions import Action, ActionName, Move, Outlook
from vmferry_operator.decisions.edits import BY_THE_POLICY
from vmferry_operator.decisions.ladder import next_step
from vmferry_operator.decisions.parameters import allows_post_copy, parameters, same_start, start_options
from vmferry_operator.decisions.planner import next_move
from vmferry_operator.decisions.reporting import ALONE
from vmferry_operator.decisions.shares import Share, unlimited
from vmferry_operator.decisions.situations import Situation


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the planner wants."""

    desired: Desired
    steps: Sequence[StepRecord]
    outlook: Outlook
    """What will be due when if nothing else changes."""


def begin(
    policy: MigrationPolicySpec,
    current: Desired | None,
    steps: Sequence[StepRecord],
    situation: Situation,
    *,
    now: datetime,
    share: Share = unlimited,
    report_every: timedelta = ALONE,
    reason: str = "the policy's start",
) -> Desired:
    """The parameters that the next attempt starts with, and why there is one."""
    last = situation.last_attempt
    desired = parameters(
        policy,
        current,
        steps,
        situation,
        attempt=1 if last is None else last.number + 1,
        share=share,
        report_every=report_every,
    )
    revision = 1 if current is None else current.revision + 1
    return desired.replace(revision=revision, time=now, reason=reason)


def plan(
    policy: MigrationPolicySpec,
    current: Desired,
    applied: Applied | None,
    steps: Sequence[StepRecord],
    situation: Situation,
    *,
    now: datetime,
    share: Share = unlimited,
    report_every: timedelta = ALONE,
    restarts: bool = True,
    says_so: str = BY_THE_POLICY,
) -> Plan:
    """The parameters that should be in force, with at most one step more than are in force now.

    Args:
        policy: The policy with the migration's overrides.
        current: What was wanted last.
        applied: What the agent has carried out.
        steps: The audit trail so far.
        situation: Where the migration stands.
        now: The time.
        share: This migration's share of its nodes' bandwidth.
        report_every: How often progress is to be reported.
        restarts: Whether an attempt with other options could start at all.
        says_so: Who wants what differs, as the reason of a revision without a step.
    """
    steps = records.settled(steps, applied, situation.attempts)
    if not allows_post_copy(policy) and not situation.in_post_copy:
        reason = "the policy no longer allows post-copy"
        steps = records.withdrawn(steps, ActionName.SWITCH_TO_POST_COPY, reason)

    def wanted(attempt: int) -> Desired:
        return parameters(
            policy, current, steps, situation, attempt=attempt, share=share, report_every=report_every
        )

    desired = wanted(current.attempt)
    outlook = Outlook()
    attempt = situation.attempt
    if attempt is not None and _may_move(desired, steps, situation, attempt):
        outlook = _outlook(policy, desired, steps, situation, attempt, now=now, restarts=restarts)
    move = outlook.move
    if move is None or attempt is None:
        reason = _edits(current, desired, says_so)
        return Plan(desired=_revised(current, desired, reason, now), steps=steps, outlook=outlook)
    words = move.action.text(desired)
    taken = records.record(move, words, attempt=attempt.number, revision=current.revision + 1, now=now)
    before, steps = steps, records.bounded([*steps, taken], situation.first_attempt_of_try)
    is_restart = move.action.name == ActionName.RESTART
    desired = wanted(attempt.number + 1 if is_restart else attempt.number)
    if desired == current:  # the host has refused it already: nothing would ever answer it
        return Plan(desired=current, steps=before, outlook=replace(outlook, move=None))
    return Plan(desired=_revised(current, desired, f"{move.why}: {words}", now), steps=steps, outlook=outlook)


def _may_move(desired: Desired, steps: Sequence[StepRecord], situation: Situation, attempt: Attempt) -> bool:
    """One thing at a time, and nothing after the last one."""
    return (
        desired.attempt == attempt.number
        and desired.state == DesiredState.MIGRATE
        and desired.technique == MigrationTechnique.PRE_COPY
        and not situation.in_post_copy
        and not records.pending(steps)
    )


def _outlook(
    policy: MigrationPolicySpec,
    desired: Desired,
    steps: Sequence[StepRecord],
    situation: Situation,
    attempt: Attempt,
    *,
    now: datetime,
    restarts: bool,
) -> Outlook:
    this_try = records.since(steps, situation.first_attempt_of_try)
    start = start_options(policy, [step for step in this_try if records.stands(step)])
    edited = restarts and policy.restart_on_edit
    if edited and not same_start(start, desired.start):
        # with no options of its own: they would outlast the next edit
        again = Action(name=ActionName.RESTART)
        return Outlook(move=Move(action=again, trigger="start was edited, and restartOnEdit is set"))
    if policy.objective is not None:
        return next_move(policy.objective, desired, this_try, situation, attempt, now=now)
    return next_step(policy, desired, this_try, situation, attempt, now=now, restarts=restarts)


def _revised(current: Desired, desired: Desired, reason: str, now: datetime) -> Desired:
    """With the next revision, if it differs."""
    if desired == current:
        return current
    return desired.replace(revision=current.revision + 1, time=now, reason=reason)


def _edits(current: Desired, desired: Desired, says_so: str) -> str:
    """Which parameters differ, and by whom."""
    names = [
        field.alias or name
        for name, field in Desired.model_fields.items()
        if getattr(current, name) != getattr(desired, name)
    ]
    if names == ["share"]:
        return "the nodes' bandwidth is shared anew"
    return f"{says_so}: {', '.join(names)}"
