"""What a person can do about a migration now, as commands that can be typed."""

from collections.abc import Iterator
from dataclasses import dataclass

from kubectl_vmferry.views.standing import SOMEBODY_IS_AWAY, reason
from vmferry_api.conditions import ConditionType, is_true
from vmferry_api.migrations import MigrationTechnique, Phase, VMMigration, VMState

_PLUGIN = "kubectl vmferry"
_NOT_AS_ASKED = {"NodeNotFound", "VMNotFound", "VMNotRunning"}
"""Reasons of an end: what was asked for is not as it is."""
_THERE = {VMState.RUNNING, VMState.PAUSED}
_OF_AGENTS = {*SOMEBODY_IS_AWAY, "WaitingForAgent"}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One thing that can be done."""

    why: str
    command: str = ""
    """Empty: it is no command, the words say it."""


def choices(migration: VMMigration) -> list[Choice]:
    """The most useful first."""
    status = migration.status
    match status.phase:
        case Phase.SUCCEEDED:
            return [*_succeeded(migration)]
        case Phase.FAILED | Phase.CANCELLED:
            return [*_failed(migration)]
        case Phase.POST_COPY | Phase.RECOVERING:
            return [*_in_post_copy(migration)]
        case Phase.RUNNING:
            return [*_agents(migration), *_running(migration)]
        case _:
            return [*_agents(migration), *_pending(migration)]


def _named(migration: VMMigration, command: str, *more: str) -> str:
    metadata = migration.metadata
    place = [] if metadata.namespace in {None, "default"} else ["-n", str(metadata.namespace)]
    return " ".join([_PLUGIN, command, *place, metadata.name, *more])


def _migrate(migration: VMMigration, source: str, target: str) -> str:
    return f"{_PLUGIN} migrate {migration.spec.vm} --from {source} --to {target}"


def _agents(migration: VMMigration) -> Iterator[Choice]:
    if reason(migration) in _OF_AGENTS:
        yield Choice(why="see which agents live and what they report", command=f"{_PLUGIN} doctor")


def _running(migration: VMMigration) -> Iterator[Choice]:
    status = migration.status
    if status.desired is not None and status.desired.technique == MigrationTechnique.POST_COPY:
        yield Choice(why="it switches to post-copy; see it go on", command=_named(migration, "watch"))
        return
    yield Choice(why="see it go on", command=_named(migration, "watch"))
    slow = is_true(status.conditions, ConditionType.MIGRATION_STALLING) or (
        status.forecast is not None and not status.forecast.converges
    )
    if slow:
        yield Choice(why="have it end now, as far as its policy allows", command=_named(migration, "push"))
        progress = status.progress
        if progress is not None and progress.needed_downtime is not None:
            yield Choice(
                why="grant the guest a longer stop",
                command=_named(migration, "push", "--max-downtime", "DURATION"),
            )
        if status.desired is not None and status.desired.post_copy_allowed:
            yield Choice(
                why="end it for certain, by post-copy", command=_named(migration, "push", "--allow-postcopy")
            )
    if migration.spec.cancel:
        yield Choice(why="it is being cancelled")
        return
    yield Choice(why="give up; the VM stays where it is", command=_named(migration, "cancel"))


def _pending(migration: VMMigration) -> Iterator[Choice]:
    match reason(migration):
        case "PolicyNotFound":
            yield Choice(why="see which policies there are", command="kubectl get migpol")
            yield Choice(
                why="have it go by another one",
                command=_patch(migration, '{"spec":{"policyRef":{"name":"NAME"}}}'),
            )
        case "Queued":
            yield Choice(
                why="let it go before others (each point counts as a minute of waiting)",
                command=_patch(migration, '{"spec":{"overrides":{"queuePriority":60}}}'),
            )
            yield Choice(why="see what it waits for", command=f"{_PLUGIN} watch -A")
        case "TargetNotReady":
            yield Choice(why="mend what the target says, and it goes on by itself")
    yield Choice(why="see which policy applies, and why", command=_named(migration, "explain"))
    yield Choice(why="do without it", command=_named(migration, "cancel"))


def _patch(migration: VMMigration, patch: str) -> str:
    metadata = migration.metadata
    return (
        f"kubectl patch vmmig -n {metadata.namespace or 'default'} {metadata.name} --type=merge -p '{patch}'"
    )


def _in_post_copy(migration: VMMigration) -> Iterator[Choice]:
    spec = migration.spec
    if reason(migration) == "RecoveryExhausted":
        yield Choice(
            why=f"mend the link between {spec.source_node} and {spec.target_node}, then let the policy try on: "
            "raise its postCopyRecovery.attempts",
            command=f"kubectl edit migpol {migration.status.policy.name}" if migration.status.policy else "",
        )
    elif migration.status.phase == Phase.RECOVERING:
        yield Choice(
            why=f"mend the link between {spec.source_node} and {spec.target_node}; it is taken up by itself"
        )
    yield Choice(why="see it go on: in post-copy nothing can abort it", command=_named(migration, "watch"))
    yield Choice(why="see which agents live and what they report", command=f"{_PLUGIN} doctor")


def _succeeded(migration: VMMigration) -> Iterator[Choice]:
    spec = migration.spec
    yield Choice(why="move it back", command=_migrate(migration, spec.target_node, spec.source_node))
    yield Choice(why="forget it", command=_delete(migration))


def _failed(migration: VMMigration) -> Iterator[Choice]:
    spec, found = migration.spec, reason(migration)
    if found in {"VMOnBothHosts", "VMLost", "VMFrozen"}:
        yield Choice(why="do what the end says before anything else")
        return
    if found in _NOT_AS_ASKED:
        yield from _elsewhere(migration, found)
        return
    if found == "StartTimeout":
        yield Choice(why="see which agents live and what they report", command=f"{_PLUGIN} doctor")
    yield Choice(why="try again", command=_migrate(migration, spec.source_node, spec.target_node))
    yield Choice(
        why="try again by a policy that ends for certain",
        command=f"{_migrate(migration, spec.source_node, spec.target_node)} --policy must-complete",
    )
    yield Choice(why="see which policy applies, and why", command=_named(migration, "explain"))
    yield Choice(why="forget it", command=_delete(migration))


def _elsewhere(migration: VMMigration, found: str) -> Iterator[Choice]:
    """The same once more would fail in the same way."""
    spec, target = migration.spec, migration.status.target
    if found == "VMNotFound" and target is not None and target.vm is not None and target.vm.state in _THERE:
        yield Choice(why=f"it is on {spec.target_node} already")
    elif found == "VMNotRunning":
        yield Choice(why=f"start it on {spec.source_node} and ask anew, if it is to run")
    else:
        yield Choice(why="see the names of nodes", command="kubectl get nodes")
    yield Choice(why="forget it", command=_delete(migration))


def _delete(migration: VMMigration) -> str:
    return f"kubectl delete vmmig -n {migration.metadata.namespace or 'default'} {migration.metadata.name}"
