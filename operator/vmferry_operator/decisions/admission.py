"""Whose turn it is: concurrency limits, one migration per VM, and a fair queue."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from vmferry_api.migrations import Queue, VMMigration
from vmferry_api.policies import Concurrency, MigrationPolicySpec
from vmferry_operator.decisions.occupancy import Others, vm_keys

A_POINT = timedelta(minutes=1)
"""What a point of queuePriority counts, in waiting: priority moves a place forward, and nobody waits for ever."""
RESERVES_AFTER = timedelta(minutes=5)
"""Whoever has waited for so long keeps what is free for it until the rest of what it needs is free too."""
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
    migration: VMMigration
    policy: MigrationPolicySpec
    since: datetime


class _Slots:
    """What is taken, and what is kept for those that go first."""

    def __init__(self) -> None:
        self._taken: Counter[Slot] = Counter()
        self._kept: Counter[Slot] = Counter()
        self._limits: dict[Slot, int] = {}
        """The lowest of those that go first: whoever comes after them is held to it, too, until they run; or the
        more generous policies of others would leave them waiting for ever."""
        self._vms: set[tuple[str, str]] = set()

    def take(self, migration: VMMigration, vms: Sequence[tuple[str, str]]) -> None:
        self._taken.update(_slots(migration))
        self._vms.update(vms)

    def pass_by(self, waiting: _Waiting, now: datetime) -> bool:
        """Give it what it needs, or keep that for it if it has waited for long; whether it is its turn."""
        vms = vm_keys(waiting.migration)
        missing = self.missing(waiting, vms)
        if missing is None:
            self._keep(_limits(waiting), vms)
        elif missing[0] != ANOTHER_OF_THE_VM and now - waiting.since >= RESERVES_AFTER:
            self._reserve(_limits(waiting), vms, missing[0])
        return missing is None

    def _reserve(self, limits: Sequence[Limit], vms: Sequence[tuple[str, str]], missing: str) -> None:
        """Keep no more than helps it.

        Nothing where those before it must first run themselves and end. Of the cluster nothing where a node is
        full: who ends there gives back both.
        """
        if any(self._kept.get(slot, 0) >= self._limit(slot, limit) for _, slot, limit in limits):
            return
        self._keep([each for each in limits if each[1] != CLUSTER or each[0] == missing], vms)

    def _keep(self, limits: Iterable[Limit], vms: Sequence[tuple[str, str]]) -> None:
        for _, slot, limit in limits:
            self._kept[slot] += 1
            self._limits[slot] = self._limit(slot, limit)
        self._vms.update(vms)

    def _limit(self, slot: Slot, own: int) -> int:
        return min(own, self._limits.get(slot, own))

    def missing(self, waiting: _Waiting, vms: Sequence[tuple[str, str]]) -> tuple[str, str] | None:
        """What it has to wait for, and in words; None: nothing."""
        if not self._vms.isdisjoint(vms):
            return ANOTHER_OF_THE_VM, f"another migration of {waiting.migration.spec.vm} runs, or goes first"
        for name, slot, limit in _limits(waiting):
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


def _limits(waiting: _Waiting) -> Sequence[Limit]:
    """All that holds for it."""
    limits = waiting.policy.concurrency or DEFAULT_LIMITS
    cluster, outgoing, incoming = _slots(waiting.migration)
    return (
        ("perCluster", cluster, limits.per_cluster),
        ("outgoingPerNode", outgoing, limits.outgoing_per_node),
        ("incomingPerNode", incoming, limits.incoming_per_node),
    )


def _where(slot: Slot) -> str:
    return " ".join(slot)


def place_in_queue(
    migration: VMMigration, policy: MigrationPolicySpec, others: Others, *, now: datetime
) -> Queue | None:
    """Why a migration that could start has to wait; None: it is its turn.

    The queue is gone through in order: who fits gets its slots, who does not lets the next one pass, unless it has
    waited for long.

    Args:
        migration: It; its hosts are ready.
        policy: Its policy with its overrides.
        others: All other migrations.
        now: The time.
    """
    me = _waiting(migration, policy, now)
    ahead = _queue(others, now, before=me)
    slots = _taken(others)
    for waiting in ahead:
        slots.pass_by(waiting, now)
    missing = slots.missing(me, vm_keys(migration))
    if missing is None:
        return None
    position = len(ahead) + 1
    return Queue(
        position=position if position <= EXACT_PLACES else -(-position // 10) * 10,
        priority=policy.queue_priority,
        since=me.since,
        waiting_for=missing[0],
        message=missing[1],
    )


def worth_a_look(others: Others, *, now: datetime) -> list[VMMigration]:
    """Of all that wait: those whose turn it is, and the first ones, whose exact place is told."""
    slots = _taken(others)
    found = []
    for place, waiting in enumerate(_queue(others, now), start=1):
        if slots.pass_by(waiting, now) or place <= EXACT_PLACES:
            found.append(waiting.migration)
    return found


def _taken(others: Others) -> _Slots:
    slots = _Slots()
    for each in others.running():
        slots.take(each, vm_keys(each))
    return slots


def _queue(others: Others, now: datetime, *, before: _Waiting | None = None) -> list[_Waiting]:
    """All that wait, or those before one of them, in order."""
    queue = [_waiting(each, others.policy_of(each), now) for each in others.waiting()]
    if before is not None:
        queue = [each for each in queue if each[:2] < before[:2]]
    return sorted(queue, key=_order)


def _waiting(migration: VMMigration, policy: MigrationPolicySpec, now: datetime) -> _Waiting:
    metadata, queue, priority = migration.metadata, migration.status.queue, policy.queue_priority
    created = metadata.creation_timestamp or now
    return _Waiting(
        rank=created - priority * A_POINT if priority else created,
        uid=metadata.uid,
        migration=migration,
        policy=policy,
        since=queue.since if queue else now.replace(microsecond=0),
    )


def _order(waiting: _Waiting) -> tuple[datetime, str]:
    return waiting.rank, waiting.uid
