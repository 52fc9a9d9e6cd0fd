"""What a migration still waits for before it can start."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from vmferry_api.migrations import VMMigration, VMState

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
    check_again: datetime | None = None


def obstacle(migration: VMMigration, nodes: Collection[str] | None, *, now: datetime) -> Obstacle | None:
    """The first thing in the way; None: it can start.

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
    found = _source_obstacle(migration, now=now) or _target_obstacle(migration, now=now)
    if found is None or found.final:
        return found
    created = migration.metadata.creation_timestamp or now
    if now - created >= START_TIMEOUT:
        return Obstacle(
            reason="StartTimeout",
            message=f"could not start within {START_TIMEOUT.seconds // 60} minutes: {found.message}",
            final=True,
            of_target=found.of_target,
        )
    deadline = created + (SILENCE if now - created < SILENCE else START_TIMEOUT)
    return Obstacle(
        reason=found.reason, message=found.message, of_target=found.of_target, check_again=deadline
    )


def _source_obstacle(migration: VMMigration, *, now: datetime) -> Obstacle | None:
    spec = migration.spec
    source = migration.status.source
    if source is None or source.vm is None:
        reason, message = _no_answer(migration, spec.source_node, now=now)
        return Obstacle(reason=reason, message=source.message if source and source.message else message)
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
    if target is None:
        reason, message = _no_answer(migration, migration.spec.target_node, now=now)
        return Obstacle(reason=reason, message=message, of_target=True)
    if not target.ready:
        message = target.message or f"{migration.spec.target_node} is not ready"
        return Obstacle(reason="TargetNotReady", message=message, of_target=True)
    return None


def _no_answer(migration: VMMigration, node: str, *, now: datetime) -> tuple[str, str]:
    created = migration.metadata.creation_timestamp or now
    if now - created < SILENCE:
        return "WaitingForAgent", f"waiting for the answer of {node}'s agent"
    return (
        "AgentSilent",
        f"the agent of {node} has not answered for {(now - created).seconds} s; is it running there?",
    )
