"""What a migration still waits for before it can start."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from vmferry_api.conditions import AGENT_SILENT, HYPERVISOR_UNREACHABLE, ConditionType, Status, find_condition
from vmferry_api.migrations import Desired, SourceReport, TargetReport, VMMigration, VMState

SILENCE = timedelta(seconds=10)
"""So long an agent may take to answer before it is called silent."""
START_TIMEOUT = timedelta(minutes=15)
"""So long a migration may wait for its hosts before it fails (KubeVirt's bound for pending targets)."""


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """Why it can't start."""

    reason: str
    message: str
    final: bool = False
    """It will not go away by waiting."""
    of_target: bool = False
    """It is the target's answer that is missing or negative."""
    since: datetime | None = None
    """When the wait began; None: now, unless something else was in the way already."""
    bounded: bool = True
    """It is waited for only so long."""
    check_again: datetime | None = None
    """When it will be called something else if it is still there."""


def obstacle(migration: VMMigration, nodes: Collection[str] | None, *, now: datetime) -> Obstacle | None:
    """The first thing in the way; None: the hosts are ready.

    Args:
        migration: The migration, not yet started.
        nodes: Those of its two nodes that exist; None: not known just now.
        now: The time.
    """
    spec = migration.spec
    for field, node in (("sourceNode", spec.source_node), ("targetNode", spec.target_node)):
        if nodes is not None and node not in nodes:
            return Obstacle(
                reason="NodeNotFound",
                message=f"spec.{field}: there is no Node {node} (kubectl get nodes)",
                final=True,
                of_target=field == "targetNode",
            )
    return _source_obstacle(migration, now=now) or _target_obstacle(migration, now=now)


def not_begun(migration: VMMigration, desired: Desired, *, now: datetime) -> Obstacle:
    """The source's agent was told to start, and has not yet."""
    node = migration.spec.source_node
    since = desired.time or now
    if now - since < SILENCE:
        message = f"waiting for the agent of {node} to start it"
        return Obstacle(reason="Starting", message=message, since=since, check_again=since + SILENCE)
    return Obstacle(reason=AGENT_SILENT, message=_silent(node, since), since=since)


def waiting_since(migration: VMMigration, found: Obstacle, *, now: datetime) -> datetime | None:
    """When the wait of which this obstacle is the latest reason began; None: it is not waited for only so long.

    One clock for all of them, as they may take turns. It begins with the operator's first look, not with the
    object: neither an operator that was away nor a wait in the queue is the hosts' fault.
    """
    return (migration.status.waiting_since or found.since or now) if found.bounded else None


def bounded(migration: VMMigration, found: Obstacle, *, now: datetime) -> Obstacle:
    """The same obstacle with an end to the wait."""
    since = waiting_since(migration, found, now=now)
    if found.final or since is None:
        return found
    end = since + START_TIMEOUT
    if now >= end:
        return replace(
            found,
            reason="StartTimeout",
            message=f"could not start within {START_TIMEOUT.seconds // 60} minutes: {found.message}",
            final=True,
        )
    return replace(found, check_again=end if found.check_again is None else min(end, found.check_again))


def _since(migration: VMMigration, *, of_target: bool, now: datetime) -> datetime:
    """When the condition that tells of the obstacle stopped being True, or the last attempt ended."""
    type_ = ConditionType.TARGET_READY if of_target else ConditionType.ACCEPTED
    told = find_condition(migration.status.conditions, type_)
    if told is None or told.status == Status.TRUE:
        return now
    ends = [attempt.end for attempt in migration.status.attempts if attempt.end is not None]
    return min(now, max([told.last_transition_time, *ends]))


def _source_obstacle(migration: VMMigration, *, now: datetime) -> Obstacle | None:
    spec = migration.spec
    source = migration.status.source
    if source is not None and source.unreachable:
        return _unreachable(spec.source_node, source)
    if source is None or source.vm is None:
        return _no_answer(migration, spec.source_node, of_target=False, now=now)
    if source.vm.state == VMState.ABSENT:
        return Obstacle(
            reason="VMNotFound",
            message=source.message or f"{spec.source_node} has no domain {spec.vm}",
            final=True,
        )
    if source.vm.state not in {VMState.RUNNING, VMState.PAUSED}:
        return Obstacle(
            reason="VMNotRunning",
            message=f"{spec.vm} is {source.vm.state} on {spec.source_node}; only a running VM can migrate live",
            final=True,
        )
    return None


def _target_obstacle(migration: VMMigration, *, now: datetime) -> Obstacle | None:
    target = migration.status.target
    attempts = migration.status.attempts
    if target is not None and target.unreachable:
        return _unreachable(migration.spec.target_node, target, of_target=True)
    if target is None or target.after_attempt < (attempts[-1].number if attempts else 0):
        return _no_answer(migration, migration.spec.target_node, of_target=True, now=now)
    if not target.ready:
        message = target.message or f"{migration.spec.target_node} is not ready"
        return Obstacle(reason="TargetNotReady", message=message, of_target=True)
    return None


def _unreachable(node: str, report: SourceReport | TargetReport, *, of_target: bool = False) -> Obstacle:
    return Obstacle(
        reason=HYPERVISOR_UNREACHABLE, message=f"{node} says: {report.message}", of_target=of_target
    )


def _no_answer(migration: VMMigration, node: str, *, of_target: bool, now: datetime) -> Obstacle:
    since = _since(migration, of_target=of_target, now=now)
    if now - since < SILENCE:
        message = f"waiting for the answer of {node}'s agent"
        return Obstacle(
            reason="WaitingForAgent", message=message, of_target=of_target, check_again=since + SILENCE
        )
    return Obstacle(reason=AGENT_SILENT, message=_silent(node, since), of_target=of_target)


def _silent(node: str, since: datetime) -> str:
    return f"the agent of {node} has not answered since {since:%H:%M:%S} UTC; is it running there?"
