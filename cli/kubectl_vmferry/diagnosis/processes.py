"""Whether the operator and the agents live.

Ages are by the API server's clock alone: it is given the time by that, and tells when a Lease was written last. So
neither the user's clock counts nor a node's, whose renewTime is shown nowhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from kubectl_vmferry.diagnosis.findings import Finding, Level, error, note, ok
from kubectl_vmferry.diagnosis.pods import Pod
from kubectl_vmferry.views.figures import span
from vmferry_api.migrations import VMMigration
from vmferry_api.objects import ObjectMeta
from vmferry_api.policies import MigrationPolicy
from vmferry_operator.decisions.silence import last_written

AGENT, OPERATOR = "vmferry-agent-", "vmferry-operator"
"""What their Leases are called: an agent's has its node behind it."""
_SHORT = timedelta(seconds=15)
"""So long the operator may take to look at what is new or was changed."""
_SHOWN = 5

Lease = Mapping[str, Any]


def agents(
    leases: Sequence[Lease],
    nodes: Sequence[str],
    migrations: Sequence[VMMigration],
    now: datetime,
    *,
    pods: Mapping[str, Pod],
) -> Iterator[Finding]:
    """One finding for each node that has an agent or needs one, by the Leases that agents keep.

    Args:
        leases: All of vmferry's namespace.
        nodes: The cluster's.
        migrations: All.
        now: The API server's time.
        pods: Agents' Pods by their nodes; an agent without one runs as a process.
    """
    known = {each["metadata"]["name"].removeprefix(AGENT): each for each in _of(leases, AGENT)}
    needed = {
        node
        for each in migrations
        if not each.status.is_over
        for node in (each.spec.source_node, each.spec.target_node)
    }
    for node in sorted({*known, *needed}):
        subject = f"agent of {node}"
        if node not in known:
            cure = _in_pod(pods.get(node)) or f"start it on {node} (docs/agent.md)"
            yield error(subject, "has no Lease, and a migration needs it", cure)
            continue
        by_hand = f"look at its log on {node}, and run `vmferry-agent check` there"
        yield _alive(subject, known[node], now, _in_pod(pods.get(node)) or by_hand)
    without = sorted(set(nodes) - {*known, *needed})
    if without:
        more = f" and {len(without) - _SHOWN} more" if len(without) > _SHOWN else ""
        yield note(
            "other Nodes", f"{', '.join(without[:_SHOWN])}{more} have no agent: no VM can come or go there"
        )
    if not known and not needed:
        yield error(
            "agents",
            "no node has one",
            "give the hosts the label vmferry.io/libvirt-host=true, or start them by hand (docs/install.md)",
        )


def _in_pod(pod: Pod | None) -> str | None:
    """How to find out what an agent in a Pod lacks."""
    if pod is None:
        return None
    where = f"-n {pod['metadata']['namespace']} {pod['metadata']['name']}"
    return f"kubectl logs {where}; kubectl exec {where} -- vmferry-agent check"


def _of(leases: Sequence[Lease], prefix: str) -> list[Lease]:
    return [each for each in leases if each["metadata"]["name"].startswith(prefix)]


def lives(lease: Lease, now: datetime) -> bool:
    """Whether its holder has renewed a Lease lately, and has not given it back."""
    age = _age(lease, now)
    return bool(lease["spec"].get("holderIdentity")) and age is not None and age <= _lasts(lease)


def _age(lease: Lease, now: datetime) -> timedelta | None:
    renewed = lease["spec"].get("renewTime")
    if renewed is None:
        return None
    times = [each["time"] for each in lease["metadata"].get("managedFields") or () if "time" in each]
    written = last_written(map(datetime.fromisoformat, times), now=now)
    return now - (written or datetime.fromisoformat(renewed))


def _lasts(lease: Lease) -> timedelta:
    return timedelta(seconds=lease["spec"].get("leaseDurationSeconds") or 40)


def _alive(subject: str, lease: Lease, now: datetime, cure: str) -> Finding:
    age = _age(lease, now)
    if age is None:
        return error(subject, "its Lease was never renewed", cure)
    if age > _lasts(lease):
        return error(subject, f"has not renewed its Lease for {span(age)}", cure)
    return ok(subject, f"lives (renewed its Lease {span(age)} ago)")


def operator(
    leases: Sequence[Lease],
    policies: Sequence[MigrationPolicy],
    migrations: Sequence[VMMigration],
    now: datetime,
) -> Finding:
    """Whether one leads, by the Lease that it holds, and whether it has looked at what is there."""
    cure = "see that it runs, and look at its log: what runs goes on, but nothing starts and no step is taken"
    unseen = _unseen(policies, migrations)
    late = [_name(each) for each in unseen if _late(each, now)]
    if late:
        return error("operator", f"has not looked at {', '.join(late[:_SHOWN])} as they are now", cure)
    there = (f"{len(policies)} policies" * bool(policies), f"{len(migrations)} migrations" * bool(migrations))
    seen = (
        f"has seen all {' and '.join(filter(None, there))}" if any(there) else "there is nothing to look at"
    )
    if unseen:
        seen = f"has not yet looked at {len(unseen)} of {len(policies) + len(migrations)} objects"
    own = [each for each in leases if each["metadata"]["name"] == OPERATOR]
    if not own:
        return note("operator", f"whether it runs is not known: it holds no Lease that can be read; {seen}")
    if not own[0]["spec"].get("holderIdentity"):
        return error("operator", "none leads: its Lease was given back, and no other one has taken it", cure)
    found = _alive("operator", own[0], now, cure)
    return ok("operator", f"{found.message}, {seen}") if found.level == Level.OK else found


def _unseen(policies: Sequence[MigrationPolicy], migrations: Sequence[VMMigration]) -> list[ObjectMeta]:
    """What it has not looked at as it is now."""
    objects: list[VMMigration | MigrationPolicy] = [each for each in migrations if not each.status.is_over]
    objects += policies
    return [each.metadata for each in objects if each.status.observed_generation != each.metadata.generation]


def _late(metadata: ObjectMeta, now: datetime) -> bool:
    """Whether what was done to it last, but for its status, was so long ago that it should have been looked at."""
    times = [metadata.creation_timestamp, metadata.deletion_timestamp]
    times += [each.time for each in metadata.managed_fields if each.subresource != "status"]
    asked = last_written(filter(None, times), now=now)
    return asked is not None and now - asked > _SHORT


def _name(metadata: ObjectMeta) -> str:
    return "/".join(filter(None, (metadata.namespace, metadata.name)))
