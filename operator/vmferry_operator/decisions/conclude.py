"""Where a migration stands and how it ended, from what both hosts report."""

from dataclasses import dataclass

from vmferry_api.durations import format_duration
from vmferry_api.migrations import (
    Attempt,
    AttemptOutcome,
    Phase,
    TargetReport,
    VMMigration,
    VMReport,
    VMState,
)
from vmferry_operator.decisions.situations import in_post_copy


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """A phase, and why."""

    phase: Phase
    reason: str
    message: str
    again: bool = False
    """The VM lives on its source, so that it could be tried again."""


_ENDS = {
    AttemptOutcome.CANCELLED: (Phase.CANCELLED, "Cancelled"),
    AttemptOutcome.ABORTED: (Phase.FAILED, "Aborted"),
    AttemptOutcome.FAILED: (Phase.FAILED, "MigrationFailed"),
    AttemptOutcome.RESTARTED: (Phase.FAILED, "MigrationFailed"),
}


def conclude(migration: VMMigration) -> Conclusion | None:
    """The phase of a migration whose wanted attempt has begun; None before that.

    Succeeded takes two witnesses: the source's agent says that it completed, the target's that the VM runs.
    """
    status = migration.status
    attempt = status.attempts[-1] if status.attempts else None
    if attempt is None:
        return None
    if attempt.outcome is None:
        return _running(migration)
    if attempt.outcome == AttemptOutcome.COMPLETED:
        return _arrived(migration, attempt, status.target)
    stayed = _stayed(migration, attempt, attempt.outcome)
    ordered = status.desired.attempt if status.desired else 0
    return None if stayed.again and ordered > attempt.number else stayed


def cancel_wanted(migration: VMMigration) -> bool:
    """Whether the user wants it to end."""
    return migration.spec.cancel or migration.metadata.deletion_timestamp is not None


def cancelled_by(migration: VMMigration) -> str:
    """How the user said so."""
    return "spec.cancel" if migration.spec.cancel else "the object was deleted"


def _running(migration: VMMigration) -> Conclusion:
    cancelled = cancel_wanted(migration)
    if in_post_copy(migration):
        message = f"the VM runs on {migration.spec.target_node}, its memory follows"
        if cancelled:
            message += f"; {cancelled_by(migration)}, but post-copy can't be aborted: it goes on to its end"
        return Conclusion(phase=Phase.POST_COPY, reason="PostCopy", message=message)
    message = f"{migration.spec.vm} is moving to {migration.spec.target_node}"
    if cancelled:
        message = f"waiting for the agent of {migration.spec.source_node} to abort: {cancelled_by(migration)}"
    return Conclusion(phase=Phase.RUNNING, reason="Migrating", message=message)


def _stayed(migration: VMMigration, attempt: Attempt, outcome: AttemptOutcome) -> Conclusion:
    """The source says that it did not move; where the VM does not live there any more, the target decides."""
    spec, status = migration.spec, migration.status
    there = status.target.vm if status.target else None
    if status.source is None or status.source.vm is None or _lives(status.source.vm):
        if there is not None and there.state == VMState.RUNNING and _lives(there):
            message = (
                f"{spec.vm} runs on both {spec.source_node} and {spec.target_node}: stop one of them at once"
            )
            return Conclusion(phase=Phase.FAILED, reason="VMOnBothHosts", message=message)
        phase, reason = _ENDS[outcome]
        again = phase == Phase.FAILED
        return Conclusion(phase=phase, reason=reason, message=attempt.error or "", again=again)
    if there is not None and _lives(there):
        message = f"{_summary(migration, attempt, there)}; {spec.source_node} said: {attempt.error}"
        return Conclusion(phase=Phase.SUCCEEDED, reason="Migrated", message=message)
    if not _seen_after(attempt, status.target):
        return _confirming(migration, f"{spec.source_node} has lost the VM ({attempt.error})")
    message = f"{spec.vm} runs on neither {spec.source_node} nor {spec.target_node}: {attempt.error}"
    return Conclusion(phase=Phase.FAILED, reason="VMLost", message=message)


def _arrived(migration: VMMigration, attempt: Attempt, target: TargetReport | None) -> Conclusion:
    """The source says that it completed; the target must have seen the VM."""
    node = migration.spec.target_node
    vm = target.vm if target else None
    if vm is not None and _lives(vm):
        message = _summary(migration, attempt, vm)
        return Conclusion(phase=Phase.SUCCEEDED, reason="Migrated", message=message)
    if vm is None or _comes(vm) or not _seen_after(attempt, target):
        return _confirming(migration, "the source says it completed")
    return Conclusion(
        phase=Phase.FAILED,
        reason="VMNotRunning",
        message=f"the VM left for {node} but is {vm.state} there ({vm.reason}); look at its log on {node}",
    )


def _confirming(migration: VMMigration, what: str) -> Conclusion:
    return Conclusion(
        phase=Phase.POST_COPY if in_post_copy(migration) else Phase.RUNNING,
        reason="Confirming",
        message=f"{what}; waiting for the agent of {migration.spec.target_node} to see the VM there",
    )


def _comes(vm: VMReport) -> bool:
    """Whether the migration is not over for this side."""
    return (vm.reason or "").startswith(("Migration", "PostCopy"))


def _lives(vm: VMReport) -> bool:
    """Whether the VM is whole here, running or as its user has paused it."""
    return vm.state in {VMState.RUNNING, VMState.PAUSED} and not _comes(vm)


def _seen_after(attempt: Attempt, target: TargetReport | None) -> bool:
    """Whether the target's agent has looked since the attempt ended; what it saw before may be left over."""
    return target is not None and target.after_attempt >= attempt.number


def _summary(migration: VMMigration, attempt: Attempt, vm: VMReport) -> str:
    text = f"{migration.spec.vm} runs on {migration.spec.target_node}"
    if vm.state == VMState.PAUSED:
        text = f"{migration.spec.vm} is on {migration.spec.target_node}, paused ({vm.reason})"
    if attempt.downtime is not None:
        text += f", stopped for {format_duration(attempt.downtime)}"
    if attempt.end is not None:
        text += f", moved in {format_duration(attempt.end - attempt.start)}"
    return text
