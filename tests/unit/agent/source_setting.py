"""One migration on its source over a scripted hypervisor; the test plays the API server and the operator."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from scripted_hypervisor import ScriptedHypervisor
from typing_extensions import override

from vmferry_agent.clock import Clock
from vmferry_agent.migrations.source import SourceMigration
from vmferry_agent.migrations.traces import Traces
from vmferry_agent.reach import NetworkReach
from vmferry_agent.reporting import Reporter
from vmferry_api.migrations import (
    AttemptOutcome,
    Desired,
    Phase,
    TargetReport,
    VMMigration,
    VMMigrationStatus,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
READY = TargetReport(ready=True, connect_uri="b")


def outcome(status: VMMigrationStatus) -> AttemptOutcome | None:
    return status.attempts[-1].outcome if status.attempts else None


class MovedClock(Clock):
    """Real time, and what the test adds to it."""

    def __init__(self) -> None:
        object.__setattr__(self, "added", timedelta(0))
        self.added: timedelta

    def go_on(self, seconds: float) -> None:
        """So much time passes at once."""
        object.__setattr__(self, "added", self.added + timedelta(seconds=seconds))

    @override
    def now(self) -> datetime:
        return super().now() + self.added

    @override
    def monotonic(self) -> float:
        return super().monotonic() + self.added.total_seconds()


class Setting:
    """One migration on its source, with the API server and the operator played by the test."""

    def __init__(
        self,
        *,
        before: VMMigrationStatus | None = None,
        claims: set[str] | None = None,
        traces: Traces | None = None,
        hypervisor: ScriptedHypervisor | None = None,
        target: TargetReport = READY,
        clock: Clock | None = None,
    ) -> None:
        self.hypervisor = hypervisor or ScriptedHypervisor()
        self.reported = VMMigrationStatus()
        self.may_write = asyncio.Event()
        self.may_write.set()
        self.writing: asyncio.Queue[VMMigrationStatus] = asyncio.Queue()
        self._seen = asyncio.Condition()
        self._migration = VMMigration.model_validate(
            {
                "metadata": {"name": "m", "namespace": "default", "uid": "u"},
                "spec": {"vm": "db-1", "sourceNode": "node-a", "targetNode": "node-b"},
            }
        ).replace(status=(before or VMMigrationStatus()).replace(target=target))
        self._reporter = Reporter("default/m", self._write, gone=lambda: None, every=timedelta(0))
        self.source = SourceMigration(
            self._migration,
            hypervisor=self.hypervisor,
            reporter=self._reporter,
            claims=set() if claims is None else claims,
            reach=NetworkReach(),
            clock=clock or Clock(),
            traces=traces or Traces(None),
            every=0.005,
        )
        self._task = asyncio.create_task(self.source.run())

    async def _write(self, status: object) -> None:
        taken = VMMigrationStatus.model_validate(status)
        self.writing.put_nowait(taken)
        await self.may_write.wait()
        async with self._seen:
            self.reported = taken
            self._seen.notify_all()

    async def reports(self, holds: Callable[[VMMigrationStatus], object]) -> VMMigrationStatus:
        """Wait until a report says so."""
        async with asyncio.timeout(10), self._seen:
            await self._seen.wait_for(lambda: holds(self.reported))
        return self.reported

    async def asks(self, name: str) -> None:
        """Wait until something is asked of the hypervisor."""
        async with asyncio.timeout(10), self.hypervisor.news:
            await self.hypervisor.news.wait_for(lambda: self.hypervisor.was_asked(name))

    def want(self, wanted: Desired | None = None, phase: Phase | None = None, **spec: object) -> None:
        """The operator, or the user, changes the object."""
        status = self._migration.status
        status = status.replace(desired=wanted or status.desired, phase=phase or status.phase)
        self._migration = self._migration.replace(status=status, spec=self._migration.spec.replace(**spec))
        self.source.update(self._migration)

    def target_says(self, target: TargetReport) -> None:
        """The target's agent reports."""
        status = self._migration.status.replace(target=target)
        self._migration = self._migration.replace(status=status)
        self.source.update(self._migration)

    def delete(self) -> None:
        """The user deletes the object; a finalizer holds it."""
        metadata = self._migration.metadata.replace(deletion_timestamp=NOW)
        self._migration = self._migration.replace(metadata=metadata)
        self.source.update(self._migration)

    async def looks(self, times: int = 3) -> None:
        """Wait until the agent has looked at the running migration so often again, and acted on it."""
        await self._sees("look", times + 1)

    async def looks_at_vm(self) -> None:
        """Wait until the agent has looked whether an attempt is to begin, and acted on it."""
        for _ in range(2):
            self.source._changed.set()
            await self._sees("facts", 1)

    async def _sees(self, what: str, times: int) -> None:
        due = self.hypervisor.looks[what] + times
        async with asyncio.timeout(10), self.hypervisor.news:
            await self.hypervisor.news.wait_for(lambda: self.hypervisor.looks[what] >= due)

    async def over(self) -> None:
        """Wait until the agent has let go of it."""
        async with asyncio.timeout(10):
            await self._task

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._reporter.stop()
