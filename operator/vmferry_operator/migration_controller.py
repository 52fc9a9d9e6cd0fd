"""Reconciling migrations: read what was seen, decide, write the operator's part of the status."""

import logging
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime, timedelta

from kubernetes.aio.client import ApiClient, ApiException, CoreV1Api

from vmferry_api import FINALIZER
from vmferry_api.migrations import VMMigration
from vmferry_api.policies import MigrationPolicy
from vmferry_kube.clients import REQUEST_TIMEOUT
from vmferry_kube.keys import ObjectKey
from vmferry_kube.migrations import ConflictError, FinalizerWriter, StatusWriter
from vmferry_operator.decisions.decide import (
    OWN_FIELDS,
    Decision,
    changed_conditions,
    decide,
    own_part,
)
from vmferry_operator.store import Store

_logger = logging.getLogger(__name__)

MANAGER = "vmferry-operator"
_NOT_FOUND = 404
_LOOK_AGAIN = timedelta(seconds=0.2)
"""By then the watch has told of the change that was in the way."""


class MigrationController:
    """Reconciles one migration at a time.

    Args:
        client: The connection to the API server.
        migrations: What was seen of them.
        policies: What was seen of them.
        list_policies: Reads all policies anew into the store.
        now: The time.
    """

    def __init__(
        self,
        client: ApiClient,
        *,
        migrations: Store[VMMigration],
        policies: Store[MigrationPolicy],
        list_policies: Callable[[], Awaitable[None]],
        now: Callable[[], datetime],
    ) -> None:
        self._migrations = migrations
        self._policies = policies
        self._list_policies = list_policies
        self._now = now
        self._nodes = CoreV1Api(client)
        self._status = StatusWriter(client, manager=MANAGER)
        self._finalizers = FinalizerWriter(client)

    async def reconcile(self, key: ObjectKey) -> timedelta | None:
        """Make the operator's part of one status as it should be; when to look again."""
        migration = self._migrations.get(key)
        if migration is None:
            return None
        try:
            return await self._reconcile(key, migration)
        except ConflictError:
            return _LOOK_AGAIN
        except ApiException as error:
            if error.status == _NOT_FOUND:
                return None  # deleted meanwhile; the watch tells
            raise

    async def _reconcile(self, key: ObjectKey, migration: VMMigration) -> timedelta | None:
        decision = await self._decide(migration)
        if decision.finalizer and FINALIZER not in migration.metadata.finalizers:
            taken = self._migrations.take(await self._finalizers.set(migration.metadata, held=True))
            migration = taken or migration
        if decision.status.part(*OWN_FIELDS, "conditions") != _written(migration):
            self._log(key, migration, decision)
            part = decision.status.part(*OWN_FIELDS, "conditions")
            self._migrations.take(await self._status.apply_migration(migration.metadata, part))
        if not decision.finalizer:
            await self._let_go(key)
        return decision.check_again

    async def _decide(self, migration: VMMigration) -> Decision:
        """A start is decided on policies read anew: one applied a moment before the migration must count."""
        nodes = None
        if migration.status.desired is None:
            nodes = await self._existing_nodes(migration)
        decision = decide(migration, self._policies.all(), nodes, now=self._now())
        if migration.status.desired is None and decision.status.desired is not None:
            await self._list_policies()
            decision = decide(migration, self._policies.all(), nodes, now=self._now())
        return decision

    async def _existing_nodes(self, migration: VMMigration) -> Collection[str] | None:
        existing = set()
        for name in (migration.spec.source_node, migration.spec.target_node):
            try:
                await self._nodes.read_node(name, _request_timeout=REQUEST_TIMEOUT)
            except ApiException as error:
                if error.status != _NOT_FOUND:
                    _logger.warning("can't look for Node %s: %s %s", name, error.status, error.reason)
                    return None
            else:
                existing.add(name)
        return existing

    async def _let_go(self, key: ObjectKey) -> None:
        """Take the finalizer off once the migration is over."""
        migration = self._migrations.get(key)
        if migration is not None and FINALIZER in migration.metadata.finalizers:
            self._migrations.take(await self._finalizers.set(migration.metadata, held=False))

    def _log(self, key: ObjectKey, migration: VMMigration, decision: Decision) -> None:
        old, new = migration.status, decision.status
        if new.phase != old.phase:
            _logger.info("%s: phase %s → %s", key, old.phase or "none", new.phase)
        if new.desired is not None and new.desired != old.desired:
            _logger.info("%s: revision %d: %s", key, new.desired.revision, new.desired.reason)
        for each in changed_conditions(old.conditions, new.conditions):
            _logger.info("%s: %s=%s %s: %s", key, each.type, each.status, each.reason, each.message)


def _written(migration: VMMigration) -> dict[str, object]:
    return own_part(migration.status).part(*OWN_FIELDS, "conditions")
