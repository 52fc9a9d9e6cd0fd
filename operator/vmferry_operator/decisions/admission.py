"""Whose turn it is: concurrency limits, one migration per VM, and a fair queue."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import NamedTuple

from vmferry_api.migrations import Queue, VMMigration
from vmferry_api.policies import Concurrency, MigrationPolicySpec
from vmferry_operator.decisions.occupancy import Occupants, VMKey, vm_keys

A_POINT = timedelta(minutes=1)
"""What a point of queuePriority counts, in waiting: priority moves a place forward, and nobody waits for ever."""
RESERVES_AFTER = timedelta(minutes=5)
"""Whoever is so old keeps what is free for it until the rest of what it needs is free too. By its age, as the
queue goes by that, and as a target that is not ready for a moment must not let it begin to wait anew."""
ANOTHER_OF_THE_VM = "vm"
DEFAULT_LIMITS = Concurrency()

Slot = tuple[str, str]
"""A node's way out or in, or the whole cluster."""
CLUSTER: Slot = ("of the", "cluster")
Limit = tuple[str, Slot, int]
"""A field of `concurrency`, what it limits, and to how many."""

EXACT_PLACES = 20
"""Up to this place the position is told exactly: to tell it to everybody each time would be too many writes."""


class _Waiting(NamedTuple):
    """One that waits, in the order of the queue."""

    rank: datetime
    uid: str
    created: datetime
    limits: Sequence[Limit]
    vms: Sequence[VMKey]
    migration: VMMigration


Missing = tuple[str, str]
"""What one has to wait for, and in words."""


class _Walk(NamedTuple):
    """What came of going through the whole queue."""

    missing: Mapping[str, Missing | None]
    """By uid; None: it is its turn."""
    left: "_Slots"
    """For one that comes after all of them."""


class _Slots:
    """What is taken, and what is kept for those that go first."""

    def __init__(self) -> None:
        self._taken: Counter[Slot] = Counter()
        self._kept: Counter[Slot] = Counter()
        self._limits: dict[Slot, int] = {}
        """The lowest of those that go first: whoever comes after them is held to it, too, until they run; or the
        more generous policies of others would leave them waiting for ever."""
        self._vms: set[VMKey] = set()

    def take(self, migration: VMMigration, vms: Sequence[VMKey]) -> None:
        self._taken.update(_slots(migration))
        self._vms.update(vms)

    def pass_by(self, waiting: _Waiting, now: datetime) -> Missing | None:
        """Give it what it needs, or keep of that what helps it if it is old; what it has to wait for."""
        missing = self.missing(waiting)
        if missing is None:
            self._keep(waiting.limits, waiting.vms)
        elif missing[0] != ANOTHER_OF_THE_VM and now - waiting.created >= RESERVES_AFTER:
            self._reserve(waiting.limits, waiting.vms, missing[0])
        return missing

    def _reserve(self, limits: Sequence[Limit], vms: Sequence[VMKey], missing: str) -> None:
        """Keep no more than helps it.

        Nothing where those before it must first run themselves and end. Of the cluster nothing where a node is
        full: who ends there gives back both.
        """
        if any(self._kept.get(slot, 0) >= self._limit(slot, limit) for _, slot, limit in limits):
            return
        self._keep([each for each in limits if each[1] != CLUSTER or each[0] == missing], vms)

    def _keep(self, limits: Iterable[Limit], vms: Sequence[VMKey]) -> None:
        for _, slot, limit in limits:
            self._kept[slot] += 1
            self._limits[slot] = self._limit(slot, limit)
        self._vms.update(vms)

    def _limit(self, slot: Slot, own: int) -> int:
        return min(own, self._limits.get(slot, own))

    def missing(self, waiting: _Waiting) -> Missing | None:
        """What it has to wait for; None: nothing."""
        if not self._vms.isdisjoint(waiting.vms):
            return ANOTHER_OF_THE_VM, f"another migration of {waiting.migration.spec.vm} runs, or goes first"
        for name, slot, limit in waiting.limits:
            taken = self._taken.get(slot, 0)  # far quicker than a Counter's own way for what is not there
            if taken >= limit:
                return name, f"{taken} migrations {_where(slot)} run (concurrency.{name}: {limit})"
            if taken + self._kept.get(slot, 0) >= self._limit(slot, limit):
                return (
                    name,
                    f"what is free {_where(slot)} is for those before it (concurrency.{name}: {limit})",
                )
        return None


def _slots(migration: VMMigration) -> tuple[Slot, Slot, Slot]:
    return CLUSTER, ("from", migration.spec.source_node), ("to", migration.spec.target_node)


def _limits(migration: VMMigration, policy: MigrationPolicySpec) -> Sequence[Limit]:
    """All that holds for it."""
    limits = policy.concurrency or DEFAULT_LIMITS
    cluster, outgoing, incoming = _slots(migration)
    return (
        ("perCluster", cluster, limits.per_cluster),
        ("outgoingPerNode", outgoing, limits.outgoing_per_node),
        ("incomingPerNode", incoming, limits.incoming_per_node),
    )


def _where(slot: Slot) -> str:
    return " ".join(slot)


class Turns:
    """The queue as of one moment, gone through once.

    Args:
        occupants: Those that run or wait.
    """

    def __init__(self, occupants: Occupants) -> None:
        self._occupants = occupants
        self._walked: tuple[int, _Walk] | None = None

    def place(self, migration: VMMigration, policy: MigrationPolicySpec, *, now: datetime) -> Queue | None:
        """Why a migration that could start has to wait; None: it is its turn.

        The queue is gone through in order: who fits gets its slots, who does not lets the next one pass, unless it
        is old.

        Args:
            migration: It; its hosts are ready.
            policy: Its policy with its overrides.
            now: The time.
        """
        me = _waiting(migration, policy, now)
        ahead = bisect_left(self._queue, me[:2], key=_order)
        known = self._queue[ahead] if ahead < len(self._queue) else None
        if known is not None and known[:-1] == me[:-1]:
            missing = self._walk(now).missing[me.uid]
        elif ahead == len(self._queue) and me.uid not in self._uids:
            missing = self._walk(now).left.missing(me)
        else:
            before = [each for each in self._queue[:ahead] if each.uid != me.uid]
            ahead = len(before)
            missing = self._go_through(before, now, without=me.uid).left.missing(me)
        if missing is None:
            return None
        queue = migration.status.queue
        position = ahead + 1
        return Queue(
            position=position if position <= EXACT_PLACES else -(-position // 10) * 10,
            priority=policy.queue_priority,
            since=queue.since if queue else now.replace(microsecond=0),
            waiting_for=missing[0],
            message=missing[1],
        )

    def worth_a_look(self, *, now: datetime) -> list[VMMigration]:
        """Of all that wait: those whose turn it is, and the first ones, whose exact place is told."""
        missing = self._walk(now).missing
        return [
            each.migration
            for place, each in enumerate(self._queue, start=1)
            if place <= EXACT_PLACES or missing[each.uid] is None
        ]

    @cached_property
    def _queue(self) -> Sequence[_Waiting]:
        occupants, never = self._occupants, datetime.max.replace(tzinfo=UTC)
        return sorted(
            (_waiting(each, occupants.policy_of(each), never) for each in occupants.waiting), key=_order
        )

    @cached_property
    def _uids(self) -> Collection[str]:
        return {*self._occupants.running, *(each.uid for each in self._queue)}

    @cached_property
    def _created(self) -> Sequence[datetime]:
        return sorted(each.created for each in self._queue)

    def _walk(self, now: datetime) -> _Walk:
        """Of the time it depends only on how many are old by now."""
        old = bisect_right(self._created, now - RESERVES_AFTER)
        if self._walked is None or self._walked[0] != old:
            self._walked = old, self._go_through(self._queue, now)
        return self._walked[1]

    def _go_through(self, queue: Sequence[_Waiting], now: datetime, *, without: str | None = None) -> _Walk:
        slots = _Slots()
        for uid, each in self._occupants.running.items():
            if uid != without:
                slots.take(each, vm_keys(each))
        return _Walk(missing={each.uid: slots.pass_by(each, now) for each in queue}, left=slots)


def _waiting(migration: VMMigration, policy: MigrationPolicySpec, now: datetime) -> _Waiting:
    metadata, priority = migration.metadata, policy.queue_priority
    created = metadata.creation_timestamp or now
    return _Waiting(
        rank=created - priority * A_POINT if priority else created,
        uid=metadata.uid,
        created=created,
        limits=_limits(migration, policy),
        vms=vm_keys(migration),
        migration=migration,
    )


def _order(waiting: _Waiting) -> tuple[datetime, str]:
    return waiting.rank, waiting.uid
