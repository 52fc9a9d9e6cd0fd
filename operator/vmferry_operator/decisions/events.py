"""What is told as Kubernetes Events: the transitions between two sightings of an object, in words.

docs/events.md explains each reason; a test holds it to this file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from vmferry_api.conditions import (
    AGENT_SILENT,
    QUEUED,
    RECOVERY_EXHAUSTED,
    RETRY_BACKOFF,
    VM_FROZEN,
    Condition,
    ConditionType,
    Status,
    find_condition,
    is_true,
)
from vmferry_api.durations import format_duration
from vmferry_api.migrations import (
    Attempt,
    AttemptOutcome,
    Desired,
    Phase,
    StepRecord,
    VMMigration,
    VMMigrationStatus,
)
from vmferry_api.policies import MigrationPolicy
from vmferry_api.quantities import format_quantity
from vmferry_operator.decisions.conclude import cancel_wanted, cancelled_by
from vmferry_operator.decisions.records import WITHDRAWN, action, refused
from vmferry_operator.decisions.situations import in_post_copy


class EventType(StrEnum):
    """Whether somebody should look."""

    NORMAL = "Normal"
    WARNING = "Warning"


class Reason(StrEnum):
    """What has happened."""

    WAITING_TO_START = "WaitingToStart"
    POLICY_SELECTED = "PolicySelected"
    POLICY_EDITED = "PolicyEdited"
    ACCEPTED = "Accepted"
    NOT_ACCEPTED = "NotAccepted"
    TARGET_READY = "TargetReady"
    TARGET_NOT_READY = "TargetNotReady"
    QUEUED = "Queued"
    DEQUEUED = "Dequeued"
    ATTEMPT_STARTED = "AttemptStarted"
    ATTEMPT_COMPLETED = "AttemptCompleted"
    ATTEMPT_RESTARTED = "AttemptRestarted"
    ATTEMPT_CANCELLED = "AttemptCancelled"
    ATTEMPT_ABORTED = "AttemptAborted"
    ATTEMPT_FAILED = "AttemptFailed"
    MIGRATING = "Migrating"
    STEP_TAKEN = "StepTaken"
    STEP_REFUSED = "StepRefused"
    STEP_WITHDRAWN = "StepWithdrawn"
    PARAMETERS_CHANGED = "ParametersChanged"
    PARAMETERS_REFUSED = "ParametersRefused"
    MIGRATION_STALLING = "MigrationStalling"
    MIGRATION_CONVERGING = "MigrationConverging"
    POST_COPY_STARTED = "PostCopyStarted"
    POST_COPY_INTERRUPTED = "PostCopyInterrupted"
    POST_COPY_RECOVERED = "PostCopyRecovered"
    RECOVERY_EXHAUSTED = "RecoveryExhausted"
    VM_FROZEN = "VMFrozen"
    AGENT_SILENT = "AgentSilent"
    AGENT_HEARD = "AgentHeard"
    RETRY_SCHEDULED = "RetryScheduled"
    CANCEL_REQUESTED = "CancelRequested"
    MIGRATED = "Migrated"
    MIGRATION_FAILED = "MigrationFailed"
    MIGRATION_CANCELLED = "MigrationCancelled"


WARNINGS = frozenset(
    {
        Reason.NOT_ACCEPTED,
        Reason.TARGET_NOT_READY,
        Reason.ATTEMPT_ABORTED,
        Reason.ATTEMPT_FAILED,
        Reason.STEP_REFUSED,
        Reason.PARAMETERS_REFUSED,
        Reason.MIGRATION_STALLING,
        Reason.POST_COPY_INTERRUPTED,
        Reason.RECOVERY_EXHAUSTED,
        Reason.VM_FROZEN,
        Reason.AGENT_SILENT,
        Reason.MIGRATION_FAILED,
    }
)
_COMING_AND_GOING = frozenset(
    {
        Reason.TARGET_READY,
        Reason.TARGET_NOT_READY,
        Reason.PARAMETERS_CHANGED,
        Reason.MIGRATION_STALLING,
        Reason.MIGRATION_CONVERGING,
        Reason.POST_COPY_INTERRUPTED,
        Reason.POST_COPY_RECOVERED,
        Reason.AGENT_SILENT,
        Reason.AGENT_HEARD,
    }
)
"""What may come again and again, with other figures each time."""
ON_THE_POLICY = frozenset(
    {
        Reason.POLICY_SELECTED,
        Reason.STEP_TAKEN,
        Reason.STEP_REFUSED,
        Reason.PARAMETERS_REFUSED,
        Reason.MIGRATION_STALLING,
        Reason.POST_COPY_STARTED,
        Reason.POST_COPY_INTERRUPTED,
        Reason.VM_FROZEN,
        Reason.MIGRATED,
        Reason.MIGRATION_FAILED,
        Reason.MIGRATION_CANCELLED,
    }
)
"""What tells whether a policy does what it is meant to do; it is told of the policy, too."""

_ENDS = {
    Phase.SUCCEEDED: Reason.MIGRATED,
    Phase.FAILED: Reason.MIGRATION_FAILED,
    Phase.CANCELLED: Reason.MIGRATION_CANCELLED,
}
_OUTCOMES = {
    AttemptOutcome.COMPLETED: Reason.ATTEMPT_COMPLETED,
    AttemptOutcome.RESTARTED: Reason.ATTEMPT_RESTARTED,
    AttemptOutcome.CANCELLED: Reason.ATTEMPT_CANCELLED,
    AttemptOutcome.ABORTED: Reason.ATTEMPT_ABORTED,
    AttemptOutcome.FAILED: Reason.ATTEMPT_FAILED,
}
_STUCK_OR_SILENT = {
    AGENT_SILENT: (Reason.AGENT_SILENT, "AwaitReport"),
    RECOVERY_EXHAUSTED: (Reason.RECOVERY_EXHAUSTED, "Recover"),
    VM_FROZEN: (Reason.VM_FROZEN, "Recover"),
    RETRY_BACKOFF: (Reason.RETRY_SCHEDULED, "Retry"),
}
"""Of reasons of Reconciling or Stalled the reason and the action of the event."""
_TOLD_OTHERWISE = {RETRY_BACKOFF, QUEUED}
"""Reasons for being Pending that have events of their own."""
_QUIET_PARAMETERS = ("revision", "reason", "time", "report_every")
"""Of `desired`: what means nothing to people if it changes alone."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something to tell of an object."""

    reason: Reason
    action: str
    """What was done, or tried, as one word for programs."""
    note: str
    counted: bool = False
    """Where it comes again, with whatever note, it is counted; otherwise another note is another Event."""

    @property
    def type(self) -> EventType:
        """Whether somebody should look."""
        return EventType.WARNING if self.reason in WARNINGS else EventType.NORMAL


def migration_events(before: VMMigration, after: VMMigration) -> list[Event]:
    """What has happened to a migration between two sightings, in the order in which it is to be told."""
    return list(_Transition(before, after).events())


def event_of_policy(event: Event, migration: VMMigration) -> Event | None:
    """What of that is told of the policy that the migration goes by; None: nothing."""
    if event.reason not in ON_THE_POLICY:
        return None
    name = f"{migration.metadata.namespace}/{migration.metadata.name}"
    return Event(reason=event.reason, action=event.action, note=f"{name}: {event.note}", counted=True)


def policy_events(before: MigrationPolicy, after: MigrationPolicy) -> list[Event]:
    """What has happened to a policy itself."""
    return list(_acceptance(before.status.conditions, after.status.conditions))


class _Transition:
    """From one sighting to a later one."""

    def __init__(self, before: VMMigration, after: VMMigration) -> None:
        self._before, self._after = before, after
        self._old, self._new = before.status, after.status
        self._vm = after.spec.vm
        self._was = _going_on(before.status)
        self._is = _going_on(after.status)

    def events(self) -> Iterator[Event]:
        yield from self._cancel()
        yield from self._policy()
        yield from _acceptance(self._old.conditions, self._new.conditions)
        yield from self._target()
        yield from self._queue()
        yield from self._attempts()
        yield from self._goes_on()
        yield from self._phase()
        yield from self._stalling()
        yield from self._steps()
        yield from self._parameters()
        yield from self._refusals()
        yield from self._end()

    def _cancel(self) -> Iterator[Event]:
        if self._new.is_over or cancel_wanted(self._before) or not cancel_wanted(self._after):
            return
        then = f"{self._vm} stays on {self._after.spec.source_node}"
        if in_post_copy(self._after):
            then = "but post-copy can't be aborted: it goes on to its end"
        yield _event(Reason.CANCEL_REQUESTED, "Cancel", f"{cancelled_by(self._after)}: {then}")

    def _policy(self) -> Iterator[Event]:
        old, new = self._old.policy, self._new.policy
        if new is None:
            return
        if old is None or old.name != new.name:
            yield _event(Reason.POLICY_SELECTED, "SelectPolicy", f"goes by {new.name}: {new.why}")
        elif old.generation != new.generation:
            words = f"{new.name} was edited (generation {old.generation} → {new.generation})"
            yield _event(Reason.POLICY_EDITED, "SelectPolicy", words)

    def _target(self) -> Iterator[Event]:
        old = find_condition(self._old.conditions, ConditionType.TARGET_READY)
        new = find_condition(self._new.conditions, ConditionType.TARGET_READY)
        if new is None or _state(old) == _state(new):
            return
        if new.status == Status.TRUE:
            yield _event(Reason.TARGET_READY, "CheckTarget", new.message)
        elif new.status == Status.FALSE:
            yield _event(Reason.TARGET_NOT_READY, "CheckTarget", new.message)

    def _queue(self) -> Iterator[Event]:
        old, new = self._old.queue, self._new.queue
        if old is None and new is not None:
            yield _event(Reason.QUEUED, "Queue", f"place {new.position} in the queue: {new.message}")
        elif old is not None and new is None and not self._new.is_over:
            began = self._new.desired.time if self._new.desired else None
            waited = "" if began is None else f" after {format_duration(began - old.since)}"
            yield _event(Reason.DEQUEUED, "Queue", f"its turn has come{waited}")

    def _attempts(self) -> Iterator[Event]:
        known = {each.number: each for each in self._old.attempts}
        for each in self._new.attempts:
            old = known.get(each.number)
            if old is None:
                yield _event(Reason.ATTEMPT_STARTED, "Migrate", self._began(each))
            if each.outcome is not None and (old is None or old.outcome is None):
                words = f"attempt {each.number} {each.outcome.lower()}{_figures(each)}"
                yield _event(_OUTCOMES[each.outcome], "Migrate", words)

    def _began(self, attempt: Attempt) -> str:
        spec, desired = self._after.spec, self._new.desired
        why = f", because: {desired.reason}" if desired and desired.attempt == attempt.number else ""
        return f"attempt {attempt.number} of {self._vm} from {spec.source_node} to {spec.target_node}{why}"

    def _goes_on(self) -> Iterator[Event]:
        """What work goes on, or is stuck, as the reason of Reconciling or Stalled tells it."""
        old, new = self._was, self._is
        if new is None or self._new.is_over or _state(old) == _state(new):
            return
        if new.reason in _STUCK_OR_SILENT:
            yield _event(*_STUCK_OR_SILENT[new.reason], new.message)
        elif self._new.phase == Phase.RECOVERING:
            yield _event(Reason.POST_COPY_INTERRUPTED, "Recover", f"{new.reason}: {new.message}")
        if old is not None and old.reason == AGENT_SILENT != new.reason:
            yield _event(Reason.AGENT_HEARD, "AwaitReport", f"it has reported again: {new.message}")

    def _phase(self) -> Iterator[Event]:
        phase, going_on = self._new.phase, self._is
        if phase == self._old.phase or going_on is None:
            return
        if phase == Phase.PENDING and going_on.reason not in _TOLD_OTHERWISE:
            yield _event(Reason.WAITING_TO_START, "Wait", going_on.message)
        elif phase == Phase.RUNNING:
            yield _event(Reason.MIGRATING, "Migrate", going_on.message)
        elif phase == Phase.RECOVERING and going_on.reason in _STUCK_OR_SILENT:
            told = find_condition(self._new.conditions, ConditionType.POST_COPY_INTERRUPTED)
            words = "" if told is None else f"{told.reason}: {told.message}"
            yield _event(Reason.POST_COPY_INTERRUPTED, "Recover", words)
        elif phase == Phase.POST_COPY and self._old.phase != Phase.RECOVERING:
            yield _event(Reason.POST_COPY_STARTED, "SwitchToPostCopy", going_on.message)
        elif phase == Phase.POST_COPY and going_on.type != ConditionType.STALLED:
            words = f"memory flows again: {going_on.message}"
            yield _event(Reason.POST_COPY_RECOVERED, "Recover", words)

    def _stalling(self) -> Iterator[Event]:
        old = find_condition(self._old.conditions, ConditionType.MIGRATION_STALLING)
        new = find_condition(self._new.conditions, ConditionType.MIGRATION_STALLING)
        runs = bool(self._new.attempts) and self._new.attempts[-1].end is None
        if new is None or not runs or in_post_copy(self._after) or _state(old) == _state(new):
            return
        if new.status == Status.TRUE:
            words = f"{new.reason}: {new.message}"
            yield _event(Reason.MIGRATION_STALLING, "WatchProgress", words)
        elif old is not None and old.status == Status.TRUE:
            yield _event(Reason.MIGRATION_CONVERGING, "WatchProgress", new.message or "it gets nearer again")

    def _steps(self) -> Iterator[Event]:
        known = {each.revision: each for each in self._old.steps}
        for each in self._new.steps:
            old, words = known.get(each.revision), _words(each)
            done = action(each).name
            name = done[0].upper() + done[1:]
            if old is None:
                yield _event(Reason.STEP_TAKEN, name, f"{words}, because: {each.trigger}")
            if refused(each) and not (old and refused(old)):
                yield _event(Reason.STEP_REFUSED, name, f"{words}: {each.outcome}")
            if each.outcome.startswith(WITHDRAWN) and not (old and old.outcome.startswith(WITHDRAWN)):
                yield _event(Reason.STEP_WITHDRAWN, name, f"{words}: {each.outcome}")

    def _parameters(self) -> Iterator[Event]:
        """What is changed in flight other than by a step."""
        old, new = self._old.desired, self._new.desired
        if old is None or new is None or old.attempt != new.attempt or self._is_by_step(new.revision):
            return
        if _for_people(old) != _for_people(new):
            yield _event(Reason.PARAMETERS_CHANGED, "ChangeParameters", new.reason)

    def _refusals(self) -> Iterator[Event]:
        """What the host refuses of that, or at the start."""
        applied = self._new.applied
        if applied is None or applied == self._old.applied or self._is_by_step(applied.revision):
            return
        if applied.errors:
            words = "; ".join(f"{each.parameter}: {each.message}" for each in applied.errors)
            yield _event(Reason.PARAMETERS_REFUSED, "ChangeParameters", words)

    def _is_by_step(self, revision: int) -> bool:
        return any(each.revision == revision for each in self._new.steps)

    def _end(self) -> Iterator[Event]:
        if self._new.phase not in _ENDS or self._old.is_over:
            return
        told = find_condition(self._new.conditions, ConditionType.COMPLETE)
        words = "" if told is None else told.message
        if told is not None and self._new.phase == Phase.FAILED:
            words = f"{told.reason}: {words}"
        yield _event(_ENDS[self._new.phase], "Conclude", words)


def _event(reason: Reason, action_: str, note: str) -> Event:
    return Event(reason=reason, action=action_, note=note, counted=reason in _COMING_AND_GOING)


def _acceptance(old: list[Condition], new: list[Condition]) -> Iterator[Event]:
    before = find_condition(old, ConditionType.ACCEPTED)
    after = find_condition(new, ConditionType.ACCEPTED)
    if after is None or _state(before) == _state(after):
        return
    if after.status == Status.FALSE:
        yield _event(Reason.NOT_ACCEPTED, "Accept", f"{after.reason}: {after.message}")
    elif after.status == Status.TRUE and before is not None and before.status == Status.FALSE:
        yield _event(Reason.ACCEPTED, "Accept", after.message)


def _state(condition: Condition | None) -> tuple[Status, str] | None:
    """What of a condition makes a transition; messages have figures that change all the time."""
    return None if condition is None else (condition.status, condition.reason)


def _going_on(status: VMMigrationStatus) -> Condition | None:
    """The condition that tells what is done now, or that nothing more is."""
    type_ = ConditionType.RECONCILING
    if is_true(status.conditions, ConditionType.STALLED):
        type_ = ConditionType.STALLED
    return find_condition(status.conditions, type_)


def _for_people(desired: Desired) -> Desired:
    return desired.replace(**dict.fromkeys(_QUIET_PARAMETERS))


def _figures(attempt: Attempt) -> str:
    parts = []
    if attempt.error:
        parts.append(attempt.error)
    if attempt.downtime is not None:
        parts.append(f"the guest was stopped for {format_duration(attempt.downtime)}")
    if attempt.transferred is not None:
        parts.append(f"{format_quantity(attempt.transferred)} sent")
    return f": {', '.join(parts)}" if parts else ""


def _words(step: StepRecord) -> str:
    return step.action if step.step is None else f"step {step.step}: {step.action}"
