"""Fair shares of a node's bandwidth among the migrations that run there."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from vmferry_api.migrations import VMMigration
from vmferry_api.policies import MigrationPolicySpec
from vmferry_operator.decisions.occupancy import Others

LEAST = 2**20
"""Bytes per second; also what a share is rounded down to."""

Link = tuple[str, str]
"""A node's way out or in."""

Share = Callable[[int | None], int | None]
"""What a migration may take of its nodes' bandwidth, by the cap that it is to have; None: no cap, no limit."""


@dataclass(frozen=True, kw_only=True)
class Flow:
    """One migration's stream."""

    uid: str
    source: str
    target: str
    cap: int | None
    """What it may take at most by itself, in bytes per second; None: no cap."""
    per_node: int | None
    """What its policy lets a node's migrations take together; None: no limit."""

    @property
    def links(self) -> tuple[Link, Link]:
        """What it goes through."""
        return ("out", self.source), ("in", self.target)


def unlimited(_: int | None) -> int | None:
    """The share where nothing is shared."""
    return None


def share(
    migration: VMMigration, policy: MigrationPolicySpec, others: Others, *, cap: int | None
) -> int | None:
    """This migration's share, in bytes per second; None: nothing limits it together with others.

    Args:
        migration: It; it runs or is about to start.
        policy: Its policy with its overrides.
        others: All other migrations.
        cap: What it is to take at most by itself: the one that is about to be desired, not the last one.
    """
    running = [(each, others.policy_of(each)) for each in others.running()]
    if not any(each.bandwidth and each.bandwidth.per_node for each in (policy, *(by for _, by in running))):
        return None
    flows = [_flow(migration, policy, cap), *(_running_flow(each, by) for each, by in running)]
    return shares(flows).get(migration.metadata.uid)


def shares(flows: Sequence[Flow]) -> Mapping[str, int]:
    """The max-min fair share of each flow that a limited link binds.

    A link carries what the strictest policy of its flows allows. Progressive filling (Bertsekas and Gallager,
    Data Networks, §6.5.2): all grow alike until a link is full or a flow has its cap; the rest is the others'.
    """
    left = _capacities(flows)
    open_flows = {flow.uid: flow for flow in flows if any(link in left for link in flow.links)}
    found: dict[str, int] = {}
    while open_flows:
        level = {
            link: left[link] / count for link, count in _counts(open_flows.values()).items() if link in left
        }
        narrowest = min(level, key=lambda link: (level[link], link))
        capped = [
            flow for flow in open_flows.values() if flow.cap is not None and flow.cap <= level[narrowest]
        ]
        full = [flow for flow in open_flows.values() if narrowest in flow.links]
        for flow in capped or full:
            rate = flow.cap if capped and flow.cap is not None else level[narrowest]
            found[flow.uid] = max(LEAST, int(rate // LEAST) * LEAST)
            for link in flow.links:
                if link in left:
                    left[link] = max(0, left[link] - rate)
            del open_flows[flow.uid]
    return found


def _capacities(flows: Iterable[Flow]) -> dict[Link, float]:
    limits: dict[Link, float] = {}
    for flow in flows:
        if flow.per_node is not None:
            for link in flow.links:
                limits[link] = min(flow.per_node, limits.get(link, flow.per_node))
    return limits


def _counts(flows: Iterable[Flow]) -> dict[Link, int]:
    counts: dict[Link, int] = {}
    for flow in flows:
        for link in flow.links:
            counts[link] = counts.get(link, 0) + 1
    return counts


def _running_flow(migration: VMMigration, policy: MigrationPolicySpec) -> Flow:
    desired = migration.status.desired
    return _flow(migration, policy, desired.bandwidth if desired else None)


def _flow(migration: VMMigration, policy: MigrationPolicySpec, cap: int | None) -> Flow:
    return Flow(
        uid=migration.metadata.uid,
        source=migration.spec.source_node,
        target=migration.spec.target_node,
        cap=cap,
        per_node=policy.bandwidth.per_node if policy.bandwidth else None,
    )
