"""The agent of one node: two watches, two roles, a Lease."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kubernetes.aio.client import ApiClient, ApiException

from vmferry_agent.clock import Clock
from vmferry_agent.hypervisor.port import Hypervisor
from vmferry_agent.measurements import UNMEASURED, Measurements
from vmferry_agent.metrics import AgentState, RoleState
from vmferry_agent.migrations import source, target
from vmferry_agent.migrations.source import SourceMigration
from vmferry_agent.migrations.target import Addresses, TargetMigration
from vmferry_agent.migrations.traces import Traces
from vmferry_agent.reach import NetworkReach
from vmferry_agent.reporting import Reporter
from vmferry_agent.role import NewReporter, Role
from vmferry_agent.streams import KernelStreams
from vmferry_agent.tallies import tally
from vmferry_api.conditions import ConditionType, is_true
from vmferry_api.migrations import Phase, VMMigration
from vmferry_api.owners import SOURCE_AGENT, TARGET_AGENT
from vmferry_kube.errors import ConflictError, UnavailableError
from vmferry_kube.leases import Lease
from vmferry_kube.migrations import StatusWriter
from vmferry_kube.watching import Watch

_logger = logging.getLogger(__name__)

SPREAD = 3.0
"""Seconds over which the agents of a cluster spread when they ask for a lost stream again."""
FLUSH = 1.0
"""Seconds that the end of the process may wait for the last reports to be written."""


class Agent:
    """Serves one node.

    Args:
        node: The Node object's name.
        hypervisor: The node's.
        addresses: Where migrations to this node go.
        client: The connection to the API server.
        traces: Records the migrations from this node.
        measure_dirty_rate: Whether to measure how fast guests write before they leave.
        lease: Tells that this agent lives.
        measurements: Told of what happens.
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
        lease: Lease | None = None,
        measurements: Measurements = UNMEASURED,
    ) -> None:
        self._node = node
        self._client = client
        self._hypervisor = hypervisor
        self._addresses = addresses
        self._traces = traces
        self._measure_dirty_rate = measure_dirty_rate
        self._lease = lease
        self._measurements = measurements
        self._claims: set[str] = set()
        self._clock = Clock()
        self._streams = KernelStreams()
        self._reach = NetworkReach()
        self._keeping: asyncio.Task[None] | None = None
        self._source = Role(
            "source",
            new_reporter=self._reporter(SOURCE_AGENT, lambda: self._source),
            new_work=self._leaving,
            concerns=lambda migration: migration.spec.source_node == node,
            ended=source.has_ended,
            follow=lambda before, now: tally(before.status, now.status, measurements),
        )
        self._target = Role(
            "target",
            new_reporter=self._reporter(TARGET_AGENT, lambda: self._target),
            new_work=self._coming,
            concerns=lambda migration: migration.spec.target_node == node,
            ended=target.has_ended,
        )
        self._watches = {
            role: Watch(
                plural="vmmigrations", seen=role.seen, field_selector=f"spec.{field}={node}", spread=SPREAD
            )
            for role, field in ((self._source, "sourceNode"), (self._target, "targetNode"))
        }

    def start(self) -> None:
        """Begin to watch."""
        _logger.info("serving node %s", self._node)
        if self._lease is not None:
            self._keeping = asyncio.create_task(self._lease.keep(), name="keep the Lease")
        for watch in self._watches.values():
            watch.start()

    async def stop(self) -> None:
        """End; what runs in libvirt goes on. What is to be reported is, where that is a matter of a moment."""
        for watch in self._watches.values():
            watch.end()
        if self._keeping is not None:
            self._keeping.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH):
                await asyncio.gather(*(role.flush() for role in self._watches))
        await asyncio.gather(*(role.stop() for role in self._watches))
        await asyncio.to_thread(self._traces.close)

    @property
    def dead(self) -> Sequence[str]:
        """What should run in this process and does not."""
        dead = [each for role in self._watches for each in role.dead]
        dead += [
            f"{role.name}: the watch has died" for role, watch in self._watches.items() if not watch.lives
        ]
        if self._keeping is not None and self._keeping.done():
            dead.append("the Lease is not kept any more")
        return dead

    @property
    def unheard(self) -> Sequence[str]:
        """The watches that have not told yet what there is."""
        return [
            f"{role.name}: the API server has not listed the migrations yet"
            for role, watch in self._watches.items()
            if not watch.streams_begun
        ]

    @property
    def state(self) -> AgentState:
        """How it stands."""
        return AgentState(
            roles=[_role_state(role, watch) for role, watch in self._watches.items()],
            lease_renewed_at=self._lease.renewed_at if self._lease is not None else None,
        )

    def _reporter(self, manager: str, role: Callable[[], Role]) -> NewReporter:
        """Writes hold for the version last seen; what they return or run into is news of others' writes."""
        writer = StatusWriter(self._client, manager=manager)

        def new(migration: VMMigration, gone: Callable[[], None]) -> Reporter:
            metadata = migration.metadata

            async def write(status: Mapping[str, Any]) -> None:
                version = role().version(metadata.uid) or metadata.resource_version
                seen = metadata.replace(resource_version=version)
                began, failure = time.monotonic(), None
                try:
                    written = await writer.apply_migration(seen, dict(status))
                except (ConflictError, UnavailableError, ApiException) as error:
                    failure = _failure(error)
                    if isinstance(error, ConflictError):
                        role().seen(None, error.found)
                    raise
                finally:
                    seconds = time.monotonic() - began
                    self._measurements.status_written(role().name, seconds=seconds, failure=failure)
                role().seen(None, written)

            return Reporter(f"{metadata.namespace}/{metadata.name}", write, gone=gone)

        return new

    def _leaving(self, migration: VMMigration, reporter: Reporter) -> SourceMigration:
        return SourceMigration(
            migration,
            hypervisor=self._hypervisor,
            reporter=reporter,
            claims=self._claims,
            reach=self._reach,
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


def _failure(error: Exception) -> str:
    match error:
        case ConflictError():
            return "conflict"
        case UnavailableError():
            return "unavailable"
        case _:
            return "refused"


def _role_state(role: Role, watch: Watch) -> RoleState:
    migrations = [migration.status for migration in role.migrations]
    return RoleState(
        name=role.name,
        phases=[status.phase or Phase.PENDING for status in migrations],
        stalling=sum(is_true(status.conditions, ConditionType.MIGRATION_STALLING) for status in migrations),
        writes_waiting=role.writes_waiting,
        streams_begun=watch.streams_begun,
        heard_at=watch.heard_at,
    )
