"""The operator: two watches, two queues, and a list of everything now and then.

Until it leads, it follows and writes nothing: what it has seen is there when its turn comes.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

from kubernetes.aio.client import ApiClient, CustomObjectsApi

from vmferry_api import GROUP, VERSION
from vmferry_api.migrations import VMMigration
from vmferry_api.owners import OPERATOR
from vmferry_api.policies import MigrationPolicy
from vmferry_kube.backoff import Backoff
from vmferry_kube.clients import REQUEST_TIMEOUT
from vmferry_kube.errors import asking
from vmferry_kube.keys import ObjectKey
from vmferry_kube.leases import NAMESPACE
from vmferry_kube.migrations import StatusWriter
from vmferry_kube.queues import WorkQueue
from vmferry_kube.watching import Watch
from vmferry_operator.event_recorder import EventRecorder
from vmferry_operator.gauges import OperatorState, WatchState
from vmferry_operator.live_cluster import LiveCluster
from vmferry_operator.measurements import UNMEASURED, Measurements
from vmferry_operator.migration_controller import MigrationController
from vmferry_operator.policy_controller import PolicyController
from vmferry_operator.standing import standing
from vmferry_operator.store import Store
from vmferry_operator.tallies import tally

_logger = logging.getLogger(__name__)

LIST_EVERY = 300.0
"""Seconds between two full lists: kopf's watches do not tell what vanished while they were lost."""
LAST_WRITES = 2.0
"""Seconds for what is being decided when the operator stops; until its Lease is released, no other one decides."""


class Controller:
    """Reconciles all migrations and policies of the cluster while it leads, and follows them always.

    Args:
        client: The connection to the API server. It must refuse to write while another operator may.
        now: The time.
        namespace: Where the agents' Leases are.
        measurements: Told of what happens.
    """

    def __init__(
        self,
        client: ApiClient,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        namespace: str = NAMESPACE,
        measurements: Measurements = UNMEASURED,
    ) -> None:
        self._objects = CustomObjectsApi(client)
        self._now = now
        self._measurements = measurements
        self._migrations = Store(VMMigration, changed=self._migration_changed)
        self._policies = Store(MigrationPolicy, changed=self._policy_changed)
        self._events = EventRecorder(
            client,
            policy=lambda name: self._policies.get(ObjectKey("", name)),
            now=now,
            tell=partial(measurements.written, "event"),
        )
        self._cluster = LiveCluster(self._policies.all)
        self._wakes_others = False
        migrations = MigrationController(
            client,
            migrations=self._migrations,
            policies=self._policies,
            list_policies=self._list_policies,
            cluster=self._cluster.now,
            now=now,
            namespace=namespace,
            measurements=measurements,
        )
        policies = PolicyController(
            StatusWriter(client, manager=OPERATOR, tell=partial(measurements.written, "policy_status")),
            migrations=self._migrations,
            policies=self._policies,
            now=now,
        )
        reconciled = measurements.reconciled
        self._migration_queue = WorkQueue(migrations.reconcile, tell=partial(reconciled, "VMMigration"))
        self._policy_queue = WorkQueue(policies.reconcile, tell=partial(reconciled, "MigrationPolicy"))
        self._watches = [
            Watch(plural="migrationpolicies", seen=self._policies.seen),
            Watch(plural="vmmigrations", seen=self._migrations.seen),
        ]
        self._listing: asyncio.Task[None] | None = None
        self._listed_at: datetime | None = None
        self._leads = False
        self._counts = False

    async def start(self) -> None:
        """Read everything, then follow it."""
        await self._list_all()
        for watch in self._watches:
            watch.start()
        self._listing = asyncio.create_task(self._list_now_and_then(), name="list everything")
        _logger.info(
            "following %d migrations and %d policies", len(self._migrations.all()), len(self._policies.all())
        )

    async def lead(self) -> None:
        """Begin to decide: look at everything, as it is by now, which a watch may not have told yet."""
        self._counts = True
        await self._list_all()
        self._leads = True
        self._events.start()
        for policy in self._policies.all():
            self._look_at_policy(ObjectKey("", policy.metadata.name))
        for migration in self._migrations.all():
            self._look_at_migration(_key(migration))
        _logger.info("leads now")

    async def step_down(self, *, grace: float = 0.0) -> None:
        """Decide nothing any more, and wait until nothing is written any more; it may lead again.

        Args:
            grace: Seconds for each of what is being decided, and for Events.
        """
        if not self._leads:
            return
        self._leads = False
        await asyncio.gather(self._migration_queue.stop(grace=grace), self._policy_queue.stop(grace=grace))
        await self._events.stop(last_words=grace)
        _logger.info("does not lead any more")

    def another_led(self, until: datetime) -> None:
        """Take in that another operator led until then: what happened so far, it has told and counted."""
        self._counts = False
        self._events.discard(until)

    async def stop(self) -> None:
        """End; nothing is lost, since all state is in the objects."""
        await self.step_down(grace=LAST_WRITES)
        if self._listing is not None:
            self._listing.cancel()
        await asyncio.gather(*(watch.stop() for watch in self._watches))

    @property
    def dead(self) -> Sequence[str]:
        """What should run in this process and does not."""
        if self._listing is None:
            return []
        dead = [f"the watch of {watch.plural} has died" for watch in self._watches if not watch.lives]
        if self._events.has_died:
            dead.append("Events are not written any more")
        return [*dead, "nothing is listed any more"] if self._listing.done() else dead

    @property
    def unheard(self) -> Sequence[str]:
        """What the API server has not told yet."""
        if self._listing is None:
            return ["the API server has not listed all migrations and policies yet"]
        return [
            f"the watch of {watch.plural} has not begun" for watch in self._watches if not watch.streams_begun
        ]

    @property
    def state(self) -> OperatorState:
        """How it stands."""
        policies = self._policies.all()
        queues = (self._policy_queue, self._migration_queue)
        return OperatorState(
            leads=self._leads,
            standing=standing(self._migrations.all(), policies, now=self._now()),
            unread=self._migrations.unread,
            policies=[policy.metadata.name for policy in policies],
            watches={
                kind: WatchState(
                    streams_begun=watch.streams_begun, heard_at=watch.heard_at, queued=queue.length
                )
                for kind, watch, queue in zip(
                    ("MigrationPolicy", "VMMigration"), self._watches, queues, strict=True
                )
            },
            listed_at=self._listed_at,
            events_dropped=self._events.dropped,
        )

    def _migration_changed(self, key: ObjectKey, old: VMMigration | None, new: VMMigration | None) -> None:
        """What is to be looked at comes first: an object that is in the store is not told of a second time."""
        if new is None:
            self._migration_queue.forget(key)
        else:
            self._look_at_migration(key)
        if self._cluster.migration_changed(key, new) and not self._wakes_others:
            self._wakes_others = True
            asyncio.get_running_loop().call_soon(self._wake_others)
        for name in {_policy_name(old), _policy_name(new)} - {None}:
            self._look_at_policy(ObjectKey("", name or ""))
        with _nothing_failing(f"Events of VMMigration {key}"):
            self._events.migration_changed(old, new)
        if self._counts and old is not None and new is not None and old.metadata.uid == new.metadata.uid:
            with _nothing_failing(f"metrics of VMMigration {key}"):
                tally(old, new, self._measurements, at=self._now())

    def _look_at_migration(self, key: ObjectKey) -> None:
        if self._leads:
            self._migration_queue.add(key)

    def _look_at_policy(self, key: ObjectKey) -> None:
        if self._leads:
            self._policy_queue.add(key)

    def _wake_others(self) -> None:
        """Slots or bandwidth were taken or given back: some may start now, or have another share."""
        self._wakes_others = False
        cluster = self._cluster.now()
        for each in (*cluster.turns.worth_a_look(now=self._now()), *cluster.shares.changed()):
            self._look_at_migration(_key(each))

    def _policy_changed(
        self, key: ObjectKey, old: MigrationPolicy | None, new: MigrationPolicy | None
    ) -> None:
        if new is not None:
            self._look_at_policy(key)
        if (old.spec if old else None) != (new.spec if new else None):
            self._cluster.policies_changed()
            for each in self._migrations.all():
                if not each.status.is_over:
                    self._look_at_migration(_key(each))
        with _nothing_failing(f"Events of MigrationPolicy {key.name}"):
            self._events.policy_changed(old, new)
        if new is not None:
            self._measurements.policy_seen(key.name)

    async def _list_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(LIST_EVERY)
            await self._list_all()

    async def _list_all(self) -> None:
        """Read all policies, then all migrations; until it succeeds."""
        await _until_done(self._list_policies)
        await _until_done(self._list_migrations)
        self._listed_at = self._now()

    async def _list_policies(self) -> None:
        items, version = await self._list("migrationpolicies")
        await self._policies.replace(items, version=version)

    async def _list_migrations(self) -> None:
        items, version = await self._list("vmmigrations")
        await self._migrations.replace(items, version=version)

    async def _list(self, plural: str) -> tuple[list[dict[str, Any]], int]:
        with asking():
            listed = await self._objects.list_cluster_custom_object(
                group=GROUP, version=VERSION, plural=plural, _request_timeout=REQUEST_TIMEOUT
            )
        return listed["items"], int(listed["metadata"]["resourceVersion"])


@contextmanager
def _nothing_failing(what: str) -> Iterator[None]:
    """What is only told or counted holds up nothing else, however strange a status it is made of."""
    try:
        yield
    except Exception:
        _logger.exception("left out: %s", what)


def _key(migration: VMMigration) -> ObjectKey:
    return ObjectKey(migration.metadata.namespace or "", migration.metadata.name)


def _policy_name(migration: VMMigration | None) -> str | None:
    policy = migration.status.policy if migration else None
    return policy.name if policy else None


async def _until_done(read: Callable[[], Awaitable[None]]) -> None:
    for delay in Backoff(first=1, most=30):
        try:
            await read()
        except Exception as error:
            said = " ".join(str(error).split())[:300]
            _logger.warning("can't list: %s: %s; again in %.1f s", type(error).__name__, said, delay)
            _logger.debug("can't list", exc_info=error)
            await asyncio.sleep(delay)
        else:
            return
