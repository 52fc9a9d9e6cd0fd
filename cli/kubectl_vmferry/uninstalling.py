"""What becomes of migrations when vmferry is uninstalled: what each waits for, and who lets it go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any

from kubectl_vmferry.diagnosis.processes import AGENT, OPERATOR, lives
from kubectl_vmferry.views.standing import name, phase
from vmferry_agent.decisions.aftermath import duty, stands_still_for_it
from vmferry_api import FINALIZER
from vmferry_api.migrations import SourceReport, TargetReport, VMMigration
from vmferry_operator.decisions.situations import in_post_copy
from vmferry_operator.decisions.wording import listed


@dataclass(frozen=True, kw_only=True)
class Living:
    """Who lives, by the Leases."""

    operator: bool
    nodes: frozenset[str]
    """Those with an agent that lives."""


class Fate(Enum):
    """What one that is deleted waits for."""

    GOES = auto()
    """Nothing of vmferry's holds it."""
    OPERATOR = auto()
    """The operator, which lets it go once it is over."""
    AGENT = auto()
    """The source's agent, which aborts, or sees post-copy end. Nobody else has to be asked then."""
    LET_GO = auto()
    """Nothing is under way, and there is no operator to let it go."""
    UNKNOWN = auto()
    """Something may be under way, and neither operator nor agent lives to end it or to tell; or what they tell
    can't be read."""


def living(leases: Sequence[Mapping[str, Any]], now: datetime) -> Living:
    """Read it from the Leases in vmferry's namespace."""
    names = {each["metadata"]["name"] for each in leases if lives(each, now)}
    nodes = frozenset(each.removeprefix(AGENT) for each in names if each.startswith(AGENT))
    return Living(operator=OPERATOR in names, nodes=nodes)


def fate(migration: VMMigration, alive: Living, now: datetime) -> Fate:
    """What a migration waits for that is deleted."""
    if FINALIZER not in migration.metadata.finalizers:
        return Fate.GOES
    if migration.has_unread_status:
        return Fate.UNKNOWN
    if alive.operator:
        return Fate.OPERATOR
    if not may_be_under_way(migration, now):
        return Fate.LET_GO
    return Fate.AGENT if migration.spec.source_node in alive.nodes else Fate.UNKNOWN


def may_be_under_way(migration: VMMigration, now: datetime) -> bool:
    """Whether libvirt may migrate the VM, or its source's agent still owes it something.

    An agent writes an attempt down before it starts it: without one there is nothing.
    """
    status = migration.status
    runs = bool(status.attempts) and status.attempts[-1].end is None
    return (runs and not status.is_over) or stands_still_for_it(status) or duty(status, now) is not None


def is_refused(migration: VMMigration) -> bool:
    """Whether it is neither over nor given up: it must not end by the way."""
    asked = migration.spec.cancel or migration.metadata.deletion_timestamp is not None
    return not (migration.status.is_over or asked)


_WAITS = {
    Fate.GOES: "it goes at once",
    Fate.OPERATOR: "the operator lets it go once it is over",
    Fate.AGENT: "the operator does not run: it is let go once the agent of {source} has told the end",
    Fate.LET_GO: "the operator does not run; nothing is under way: it is let go at once",
    Fate.UNKNOWN: "neither the operator nor the agent of {source} runs, so that nobody can tell the end",
}


def told(migration: VMMigration, alive: Living, now: datetime) -> str:
    """One that is not over, where its VM was seen last, and what it waits for."""
    spec, status = migration.spec, migration.status
    if migration.has_unread_status:
        return f"{name(migration)}: nobody can tell how it stands: {listed(migration.unreadable)}"
    seen = (
        f"{spec.vm} was seen last: {_seen(status.source)} on {spec.source_node}, "
        f"{_seen(status.target)} on {spec.target_node}"
    )
    waits = _WAITS[fate(migration, alive, now)].format(source=spec.source_node)
    if in_post_copy(migration) and may_be_under_way(migration, now):
        waits = f"in post-copy, which nothing can abort; {waits}"
    return f"{name(migration)}: {phase(migration)}; {seen}; {waits}"


def _seen(report: SourceReport | TargetReport | None) -> str:
    vm = report.vm if report is not None else None
    if vm is None:
        return "not seen"
    return f"{vm.state} ({vm.reason})" if vm.reason else str(vm.state)


def where_to_look(migration: VMMigration) -> str:
    """What a person does about one that nobody else can tell of."""
    spec = migration.spec
    return (
        f"on {spec.source_node}: `virsh domjobinfo {spec.vm}` tells whether it migrates, `virsh domjobabort "
        f"{spec.vm}` ends that in pre-copy (in post-copy nothing may), and what is suspended goes on by "
        f"`virsh resume {spec.vm}`; on {spec.target_node}: `virsh domstate {spec.vm} --reason`"
    )
