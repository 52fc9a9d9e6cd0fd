"""The agent of one node: two watches, two roles."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from kubernetes.aio.client import ApiClient

from vmferry_agent.clock import Clock
from vmferry_agent.hypervisor.port import Hypervisor, HypervisorError
from vmferry_agent.migrations.source import SourceMigration, has_ended, is_over
from vmferry_agent.migrations.target import Addresses, TargetMigration
from vmferry_agent.migrations.traces import Traces
from vmferry_agent.reporting import Reporter
from vmferry_agent.role import NewReporter, Role
from vmferry_agent.streams import KernelStreams
from vmferry_api.migrations import VMMigration
from vmferry_api.owners import SOURCE_AGENT, TARGET_AGENT
from vmferry_kube.errors import ConflictError
from vmferry_kube.migrations import StatusWriter
from vmferry_kube.watching import Watch

_logger = logging.getLogger(__name__)


class Agent:
    """Serves one node.

    Args:
        node: The Node object's name.
        hypervisor: The node's.
        addresses: Where migrations to this node go.
        client: The connection to the API server.
        traces: Records the migrations from this node.
        measure_dirty_rate: Whether to measure how fast guests write before they leave.
    """

    def __init__(
        self,
        node: str,
        *,
        hypervisor: Hypervisor,
        addresses: Addresses,
        client: ApiClient,
        traces: Traces,
        measure_dirty_rate: bool = True,
    ) -> None:
        self._node = node
        self._client = client
        self._hypervisor = hypervisor
        self._addresses = addresses
        self._traces = traces
        self._measure_dirty_rate = measure_dirty_rate
        self._claims: set[str] = set()
        self._clock = Clock()
        self._streams = KernelStreams()
        self._greeting: asyncio.Task[None] | None = None
        self._source = Role(
            "source",
            new_reporter=self._reporter(SOURCE_AGENT, lambda: self._source),
            new_work=self._leaving,
            concerns=lambda migration: migration.spec.source_node == node,
            ended=has_ended,
        )
        self._target = Role(
            "target",
            new_reporter=self._reporter(TARGET_AGENT, lambda: self._target),
            new_work=self._coming,
            concerns=lambda migration: migration.spec.target_node == node,
            ended=is_over,
        )
        self._watches = [
            Watch(plural="vmmigrations", seen=self._source.seen, field_selector=f"spec.sourceNode={node}"),
            Watch(plural="vmmigrations", seen=self._target.seen, field_selector=f"spec.targetNode={node}"),
        ]

    def start(self) -> None:
        """Begin to watch."""
        _logger.info("serving node %s", self._node)
        self._greeting = asyncio.create_task(self._greet(), name="greet the hypervisor")
        for watch in self._watches:
            watch.start()

    async def stop(self) -> None:
        """End; what runs in libvirt goes on."""
        if self._greeting is not None:
            self._greeting.cancel()
        await asyncio.gather(*(watch.stop() for watch in self._watches))
        await self._source.stop()
        await self._target.stop()
        await asyncio.to_thread(self._traces.close)

    async def _greet(self) -> None:
        """Ask the hypervisor once: its first answer takes seconds, and who looks at the log sees if it can't."""
        try:
            facts = await self._hypervisor.facts()
        except HypervisorError as error:
            _logger.warning("%s; it is asked again for each migration", error)
        else:
            can = ", ".join(sorted(facts.features)) or "nothing special"
            _logger.info("libvirt %s, QEMU %s: %s", facts.libvirt_version, facts.qemu_version, can)

    def _reporter(self, manager: str, role: Callable[[], Role]) -> NewReporter:
        """Writes hold for the version last seen; what they return or run into is news of others' writes."""
        writer = StatusWriter(self._client, manager=manager)

        def new(migration: VMMigration, gone: Callable[[], None]) -> Reporter:
            metadata = migration.metadata

            async def write(status: Mapping[str, Any]) -> None:
                version = role().version(metadata.uid) or metadata.resource_version
                seen = metadata.replace(resource_version=version)
                try:
                    written = await writer.apply_migration(seen, dict(status))
                except ConflictError as error:
                    role().seen(None, error.found)
                    raise
                role().seen(None, written)

            return Reporter(f"{metadata.namespace}/{metadata.name}", write, gone=gone)

        return new

    def _leaving(self, migration: VMMigration, reporter: Reporter) -> SourceMigration:
        return SourceMigration(
            migration,
            hypervisor=self._hypervisor,
            reporter=reporter,
            claims=self._claims,
            clock=self._clock,
            traces=self._traces,
            measure_dirty_rate=self._measure_dirty_rate,
        )

    def _coming(self, migration: VMMigration, reporter: Reporter) -> TargetMigration:
        return TargetMigration(
            migration,
            hypervisor=self._hypervisor,
            addresses=self._addresses,
            reporter=reporter,
            streams=self._streams,
            clock=self._clock,
        )
