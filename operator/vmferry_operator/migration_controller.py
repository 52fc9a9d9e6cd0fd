"""Reconciling migrations: read what was seen, decide, write the operator's part of the status."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial

from kubernetes.aio.client import ApiClient, ApiException

from vmferry_api import FINALIZER
from vmferry_api.migrations import VMMigration
from vmferry_api.owners import OPERATOR
from vmferry_api.policies import MigrationPolicy
from vmferry_kube.errors import ConflictError
from vmferry_kube.keys import ObjectKey
from vmferry_kube.leases import NAMESPACE
from vmferry_kube.migrations import FinalizerWriter, Remover, StatusWriter
from vmferry_operator.cluster_facts import ClusterFacts
from vmferry_operator.decisions.cluster import Cluster
from vmferry_operator.decisions.decide import (
    OWN_FIELDS,
    Decision,
    Surroundings,
    changed_conditions,
    decide,
    leases_wanted,
    own_part,
)
from vmferry_operator.measurements import UNMEASURED, Measurements
from vmferry_operator.store import Store

_logger = logging.getLogger(__name__)

_NOT_FOUND = 404


class MigrationController:
    """Reconciles one migration at a time.

    Args:
        client: The connection to the API server.
        migrations: What was seen of them.
        policies: What was seen of them.
        list_policies: Reads all policies anew into the store.
        cluster: All that runs or waits, as last seen.
        now: The time.
        namespace: Where the agents' Leases are.
        measurements: Told of what is written.
    """

    def __init__(
        self,
        client: ApiClient,
        *,
        migrations: Store[VMMigration],
        policies: Store[MigrationPolicy],
        list_policies: Callable[[], Awaitable[None]],
        cluster: Callable[[], Cluster],
        now: Callable[[], datetime],
        namespace: str = NAMESPACE,
        measurements: Measurements = UNMEASURED,
    ) -> None:
        self._migrations = migrations
        self._policies = policies
        self._list_policies = list_policies
        self._cluster = cluster
        self._now = now
        self._facts = ClusterFacts(client, namespace=namespace)
        written = measurements.written
        self._status = StatusWriter(client, manager=OPERATOR, tell=partial(written, "migration_status"))
        self._finalizers = FinalizerWriter(client, tell=partial(written, "migration_finalizer"))
        self._remover = Remover(client, tell=partial(written, "migration_deletion"))
        self._starting = asyncio.Lock()

    async def reconcile(self, key: ObjectKey) -> timedelta | None:
        """Make the operator's part of one status as it should be; when to look again.

        Raises:
            ConflictError: Not done; what was in the way has been taken in, whether or not a watch tells of it.
        """
        try:
            return await self._reconcile(key)
        except ConflictError as error:
            self._migrations.take(error.found)
            raise
        except ApiException as error:
            if error.status == _NOT_FOUND:
                return None  # deleted meanwhile; the watch tells
            raise

    async def _reconcile(self, key: ObjectKey) -> timedelta | None:
        migration = self._get(key)
        if migration is None:
            return None
        decision = await self._decide(migration)
        if not _starts(migration, decision):
            return await self._carry_out(key, migration, decision)
        return await self._start(key)

    async def _start(self, key: ObjectKey) -> timedelta | None:
        """One start at a time, so that two never take the same slot; decided on policies read anew.

        A policy that was applied a moment before its migration must count.
        """
        async with self._starting:
            await self._list_policies()
            migration = self._get(key)
            if migration is None:
                return None
            return await self._carry_out(key, migration, await self._decide(migration))

    async def _decide(self, migration: VMMigration) -> Decision:
        return decide(migration, await self._around(migration), now=self._now())

    async def _around(self, migration: VMMigration) -> Surroundings:
        spec, status = migration.spec, migration.status
        policies = self._policies.all()
        running = bool(status.attempts) and status.attempts[-1].end is None
        by_namespace = any(each.spec.selector and each.spec.selector.namespaces for each in policies)
        nodes = None if running else await self._facts.existing_nodes([spec.source_node, spec.target_node])
        labels = (
            await self._facts.namespace_labels(migration.metadata.namespace or "") if by_namespace else {}
        )
        return Surroundings(
            policies=policies,
            nodes=nodes,
            namespace_labels=labels,
            cluster=self._cluster(),
            leases=await self._facts.agent_leases(leases_wanted(migration, now=self._now())),
        )

    async def _carry_out(
        self, key: ObjectKey, migration: VMMigration, decision: Decision
    ) -> timedelta | None:
        if decision.finalizer and FINALIZER not in migration.metadata.finalizers:
            taken = self._migrations.take(await self._finalizers.set(migration.metadata, held=True))
            migration = taken or migration
        if decision.status.part(*OWN_FIELDS, "conditions") != _written(migration):
            part = decision.status.part(*OWN_FIELDS, "conditions")
            self._migrations.take(await self._status.apply_migration(migration.metadata, part))
            self._log(key, migration, decision)
        if not decision.finalizer:
            await self._let_go(key)
        if decision.delete:
            _logger.info("%s: ttlAfterFinished is over; deleted", key)
            await self._remover.remove((self._migrations.get(key) or migration).metadata)
        return decision.check_again

    async def _let_go(self, key: ObjectKey) -> None:
        """Take the finalizer off once the migration is over."""
        migration = self._get(key)
        if migration is not None and FINALIZER in migration.metadata.finalizers:
            self._migrations.take(await self._finalizers.set(migration.metadata, held=False))

    def _get(self, key: ObjectKey) -> VMMigration | None:
        """The migration; None: it is gone, or its status can't be read: by an old one orders would be undone."""
        migration = self._migrations.get(key)
        return None if migration is None or migration.has_unread_status else migration

    def _log(self, key: ObjectKey, migration: VMMigration, decision: Decision) -> None:
        old, new = migration.status, decision.status
        if new.phase != old.phase:
            _logger.info("%s: phase %s → %s", key, old.phase or "none", new.phase)
        if new.desired is not None and new.desired != old.desired:
            _logger.info("%s: revision %d: %s", key, new.desired.revision, new.desired.reason)
        for each in changed_conditions(old.conditions, new.conditions):
            _logger.info("%s: %s=%s %s: %s", key, each.type, each.status, each.reason, each.message)


def _starts(migration: VMMigration, decision: Decision) -> bool:
    """Whether it orders an attempt that takes slots which are not taken yet."""
    old, new = migration.status.desired, decision.status.desired
    last = migration.status.attempts[-1] if migration.status.attempts else None
    runs = last is not None and last.end is None
    return new is not None and not runs and (old is None or new.attempt > old.attempt)


def _written(migration: VMMigration) -> dict[str, object]:
    return own_part(migration.status).part(*OWN_FIELDS, "conditions")
