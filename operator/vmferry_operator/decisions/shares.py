"""Fair shares of a node's bandwidth among the migrations that run there."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import heapify, heappop, heapreplace

from vmferry_api.migrations import VMMigration
from vmferry_api.policies import MigrationPolicySpec
from vmferry_operator.decisions.occupancy import Occupants

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


class Shares:
    """The shares of all that run at one moment, reckoned once.

    Args:
        occupants: Those that run.
    """

    def __init__(self, occupants: Occupants) -> None:
        self._occupants = occupants

    def of(self, migration: VMMigration, policy: MigrationPolicySpec, *, cap: int | None) -> int | None:
        """A migration's share, in bytes per second; None: nothing limits it together with others.

        Args:
            migration: It; it runs or is about to start.
            policy: Its policy with its overrides.
            cap: What it is to take at most by itself: the one that is about to be desired, not the last one.
        """
        flow = _flow(migration, policy, cap)
        if self._flows.get(flow.uid) == flow:
            return self._found.get(flow.uid)
        return shares([*({**self._flows, flow.uid: flow}).values()]).get(flow.uid)

    def changed(self) -> list[VMMigration]:
        """Those that run and are not told yet what they may take by now."""
        return [
            each
            for uid, each in self._occupants.running.items()
            if each.status.desired is not None and each.status.desired.share != self._found.get(uid)
        ]

    @cached_property
    def _flows(self) -> Mapping[str, Flow]:
        running = self._occupants.running
        return {uid: _running_flow(each, self._occupants.policy_of(each)) for uid, each in running.items()}

    @cached_property
    def _found(self) -> Mapping[str, int]:
        return shares([*self._flows.values()])


def shares(flows: Sequence[Flow]) -> Mapping[str, int]:
    """The max-min fair share of each flow that a limited link binds.

    A link carries what the strictest policy of its flows allows. Progressive filling (Bertsekas and Gallager,
    Data Networks, §6.5.2): all grow alike until a link is full or a flow has its cap; the rest is the others'.
    """
    filling = _Filling(flows)
    while (narrowest := filling.narrowest()) is not None:
        level, link = narrowest
        filling.grow(level, link)
    return filling.found


class _Filling:
    """How far the links are filled.

    What a link lets each of its open flows have never falls meanwhile, so that it is reckoned anew only when the
    link may be the narrowest.
    """

    def __init__(self, flows: Sequence[Flow]) -> None:
        self.found: dict[str, int] = {}
        self._left = _capacities(flows)
        self._open: dict[Link, dict[str, Flow]] = {link: {} for link in self._left}
        capped: list[tuple[int, str, Flow]] = []
        for flow in sorted(flows, key=lambda each: each.uid):  # the order tells in the last bits of the sums
            links = self._limited(flow)
            for link in links:
                self._open[link][flow.uid] = flow
            if links and flow.cap is not None:
                capped.append((flow.cap, flow.uid, flow))
        self._capped = sorted(capped, key=lambda each: each[:2], reverse=True)
        """The lowest cap last."""
        self._levels = [(self._left[link] / len(through), link) for link, through in self._open.items()]
        heapify(self._levels)

    def narrowest(self) -> tuple[float, Link] | None:
        """The link that would be full first, and what each of its open flows would have; None: none is left."""
        while self._levels:
            level, link = self._levels[0]
            through = self._open[link]
            now = self._left[link] / len(through) if through else 0
            if not through:
                heappop(self._levels)
            elif now > level:
                heapreplace(self._levels, (now, link))
            else:
                return now, link
        return None

    def grow(self, level: float, link: Link) -> None:
        """Up to the lowest cap, or until this link is full."""
        while self._capped and self._capped[-1][1] in self.found:
            self._capped.pop()
        if self._capped and self._capped[-1][0] <= level:
            cap, _, flow = self._capped.pop()
            self._settle(flow, cap)
        else:
            for each in list(self._open[link].values()):
                self._settle(each, level)

    def _settle(self, flow: Flow, rate: float) -> None:
        self.found[flow.uid] = max(LEAST, int(rate // LEAST) * LEAST)
        for link in self._limited(flow):
            self._left[link] = max(0, self._left[link] - rate)
            del self._open[link][flow.uid]

    def _limited(self, flow: Flow) -> Sequence[Link]:
        return [link for link in flow.links if link in self._left]


def _capacities(flows: Iterable[Flow]) -> dict[Link, float]:
    limits: dict[Link, float] = {}
    for flow in flows:
        if flow.per_node is not None:
            for link in flow.links:
                limits[link] = min(flow.per_node, limits.get(link, flow.per_node))
    return limits


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
