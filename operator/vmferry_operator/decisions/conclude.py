"""Where a migration stands and how it ended, from what both hosts report."""

from dataclasses import dataclass

from vmferry_api.durations import format_duration
from vmferry_api.migrations import Attempt, AttemptOutcome, Phase, TargetReport, VMMigration, VMState
from vmferry_operator.decisions.situations import in_post_copy


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """A phase, and why."""

    phase: Phase
    reason: str
    message: str


_ENDS = {
    AttemptOutcome.CANCELLED: (Phase.CANCELLED, "Cancelled"),
    AttemptOutcome.ABORTED: (Phase.FAILED, "Aborted"),
    AttemptOutcome.FAILED: (Phase.FAILED, "MigrationFailed"),
}


def conclude(migration: VMMigration) -> Conclusion | None:
    """The phase of a migration that has been started; None before that.

    Succeeded takes two witnesses: the source's agent says that it completed, the target's that the VM runs.
    """
    status = migration.status
    attempt = status.attempts[-1] if status.attempts else None
    if attempt is None:
        return None
    if attempt.outcome is None:
        return _running(migration)
    if attempt.outcome != AttemptOutcome.COMPLETED:
        phase, reason = _ENDS[attempt.outcome]
        return Conclusion(phase=phase, reason=reason, message=attempt.error or "")
    return _arrived(migration, attempt, status.target)


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


def _arrived(migration: VMMigration, attempt: Attempt, target: TargetReport | None) -> Conclusion:
    node = migration.spec.target_node
    vm = target.vm if target else None
    phase = Phase.POST_COPY if in_post_copy(migration) else Phase.RUNNING
    if vm is None or vm.state == VMState.ABSENT or (vm.reason or "").startswith(("Migration", "PostCopy")):
        return Conclusion(
            phase=phase,
            reason="Confirming",
            message=f"the source says it completed; waiting for the agent of {node} to see the VM there",
        )
    if vm.state not in {VMState.RUNNING, VMState.PAUSED}:
        return Conclusion(
            phase=Phase.FAILED,
            reason="VMNotRunning",
            message=f"the VM arrived on {node} but is {vm.state} there ({vm.reason}); look at its log on {node}",
        )
    return Conclusion(phase=Phase.SUCCEEDED, reason="Migrated", message=_summary(migration, attempt))


def _summary(migration: VMMigration, attempt: Attempt) -> str:
    text = f"{migration.spec.vm} runs on {migration.spec.target_node}"
    if attempt.downtime is not None:
        text += f", stopped for {format_duration(attempt.downtime)}"
    if attempt.end is not None:
        text += f", moved in {format_duration(attempt.end - attempt.start)}"
    return text
