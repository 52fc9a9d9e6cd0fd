"""A controller of migrations whose writes a test takes."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from kubernetes.aio.client import ApiClient

from vmferry_api.migrations import VMMigration
from vmferry_api.policies import MigrationPolicy
from vmferry_operator.decisions.cluster import Cluster
from vmferry_operator.migration_controller import MigrationController
from vmferry_operator.store import Store


@asynccontextmanager
async def controller_of(
    migrations: Store[VMMigration], write: Callable[..., Awaitable[Any]], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[MigrationController]:
    """Where there are no policies, and all nodes exist.

    Args:
        migrations: What was seen.
        write: In the place of each write to a migration: status, finalizer, deletion.
        monkeypatch: Puts it there.
    """
    async with ApiClient() as client:
        controller = MigrationController(
            client,
            migrations=migrations,
            policies=Store(MigrationPolicy, changed=lambda *_: None),
            list_policies=None,
            cluster=Cluster,
            now=lambda: datetime(2026, 1, 1, 1, tzinfo=UTC),
        )

        async def nodes(names):
            return names

        monkeypatch.setattr(controller._facts, "existing_nodes", nodes)
        monkeypatch.setattr(controller._finalizers, "set", write)
        monkeypatch.setattr(controller._status, "apply_migration", write)
        monkeypatch.setattr(controller._remover, "remove", write)
        yield controller
