"""Whose turn it is: concurrency limits, one migration per VM, and a fair queue."""

from collections import Counter
from collections.abc import Collection, Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta

from vmferry_api.migrations import Queue, VMMigration
from vmferry_api.policies import Concurrency, MigrationPolicySpec
from vmferry_operator.decisions.occupancy import Others, vm_keys

A_POINT = timedelta(minutes=1)
"""What a point of queuePriority counts, in waiting: priority moves a place forward, and nobody waits for ever."""
RESERVES_AFTER = timedelta(minutes=5)
"""Whoever has waited for so long keeps what is free for it until the rest of what it needs is free too."""
EXACT_PLACES = 20
"""Up to this place the position is told exactly: to tell it to everybody each time would be too many writes."""


@dataclass(frozen=True, kw_only=True)
class _Waiting:
    """One that waits, in the order of the queue."""

    rank: datetime
    uid: str
    migration: VMMigration
    policy: MigrationPolicySpec
    since: datetime


class _Slots:
    """What is taken."""

    def __init__(self) -> None:
        self._taken: Counter[Hashable] = Counter()
        self._vms: set[tuple[str, str]] = set()

    def take(self, migration: VMMigration, vms: Collection[tuple[str, str]]) -> None:
        spec = migration.spec
        self._taken.update(["", ("out", spec.source_node), ("in", spec.target_node)])
        self._vms.update(vms)

    def pass_by(self, waiting: _Waiting, now: datetime) -> bool:
        """Give it what it needs, or keep that for it if it has waited for long; whether it is its turn."""
        vms = vm_keys(waiting.migration)
        its_turn = self.missing(waiting, vms) is None
        if its_turn or now - waiting.since >= RESERVES_AFTER:
            self.take(waiting.migration, vms)
        return its_turn

    def missing(self, waiting: _Waiting, vms: Collection[tuple[str, str]]) -> tuple[str, str] | None:
        """What it has to wait for, and in words; None: nothing."""
        spec = waiting.migration.spec
        limits = waiting.policy.concurrency or Concurrency()
        if not self._vms.isdisjoint(vms):
            return "vm", f"another migration of {spec.vm} runs"
        for name, slot, limit, what in (
            ("perCluster", "", limits.per_cluster, "of the cluster"),
            (
                "outgoingPerNode",
                ("out", spec.source_node),
                limits.outgoing_per_node,
                f"from {spec.source_node}",
            ),
            ("incomingPerNode", ("in", spec.target_node), limits.incoming_per_node, f"to {spec.target_node}"),
        ):
            if self._taken[slot] >= limit:
                return name, f"{self._taken[slot]} migrations {what} run (concurrency.{name}: {limit})"
        return None


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
    ahead = [each for each in _queue(others, now) if _order(each) < _order(me)]
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


def _queue(others: Others, now: datetime) -> list[_Waiting]:
    return sorted((_waiting(each, others.policy_of(each), now) for each in others.waiting()), key=_order)


def _waiting(migration: VMMigration, policy: MigrationPolicySpec, now: datetime) -> _Waiting:
    created = migration.metadata.creation_timestamp or now
    queue = migration.status.queue
    return _Waiting(
        rank=created - policy.queue_priority * A_POINT,
        uid=migration.metadata.uid,
        migration=migration,
        policy=policy,
        since=queue.since if queue else now.replace(microsecond=0),
    )


def _order(waiting: _Waiting) -> tuple[datetime, str]:
    return waiting.rank, waiting.uid
