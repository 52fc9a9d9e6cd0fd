"""A hypervisor behind the agent's port that plays a recording, half a second at each look."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime, timedelta

from typing_extensions import override

from kubectl_vmferry.simulation.recording import RecordedJob, Recording
from kubectl_vmferry.simulation.simulated_time import at
from vmferry_agent.hypervisor.port import (
    CompletedJob,
    Domain,
    HostFacts,
    Hypervisor,
    Look,
    MigrationAborted,
    News,
    Sample,
    StartRequest,
)
from vmferry_api.migrations import VMState


class RecordedClock:
    """Time that goes on only with the looks."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        """The time of day."""
        return at(self.seconds)

    def monotonic(self) -> float:
        """Seconds since the start."""
        return self.seconds


class RecordedHypervisor(Hypervisor):
    """One domain, whose migration goes as it was recorded, whatever is asked."""

    def __init__(self, recording: Recording, vm: Domain, *, every: float) -> None:
        self.clock = RecordedClock()
        self.asked: list[tuple[float, str, object]] = []
        self._job = RecordedJob(recording)
        self._vm = vm
        self._every = every
        self._looks = 0
        self._suspended = False
        self._over = asyncio.Event()

    @override
    async def facts(self) -> HostFacts:
        raise AssertionError("an attempt does not ask for them")

    @override
    async def find(self, vm: str) -> Domain | None:
        return self._domain()

    def _domain(self) -> Domain | None:
        if self._job.end is not None:
            return None if self._job.end.moved else self._vm
        if self._job.in_post_copy:
            return replace(self._vm, state=VMState.PAUSED, reason="PostCopy")
        return replace(self._vm, state=VMState.PAUSED, reason="User") if self._suspended else self._vm

    @override
    async def look(self, domain: Domain) -> Look:
        sample = await self._sample()
        return Look(domain=self._domain(), sample=sample, busy=False)

    @override
    def listen(self, uuid: str, told: Callable[[News], None]) -> AbstractContextManager[None]:
        return nullcontext()

    async def _sample(self) -> Sample | None:
        self.clock.seconds = self._looks * self._every
        self._looks += 1
        self._job.run_until(self.clock.seconds)
        if self._job.end is None:
            return self._job.sample()
        self._over.set()
        await asyncio.sleep(0)
        return None

    @override
    async def migrate(self, uuid: str, request: StartRequest) -> None:
        self.asked.clear()  # the limit that is set before the start is set once more after it
        await self._over.wait()
        if self._job.end is not None and self._job.end.error is not None:
            raise MigrationAborted(self._job.end.error)

    @override
    async def resume_post_copy(self, uuid: str, request: StartRequest) -> None:
        raise AssertionError("no recording is interrupted")

    @override
    async def completed(self, uuid: str) -> CompletedJob | None:
        return None

    @override
    async def set_max_downtime(self, uuid: str, value: timedelta) -> None:
        self._note("maxDowntime", value)

    @override
    async def set_bandwidth(self, uuid: str, value: int | None) -> None:
        self._note("bandwidth", value)

    @override
    async def set_post_copy_bandwidth(self, uuid: str, value: int | None) -> None:
        self._note("postCopyBandwidth", value)

    @override
    async def start_post_copy(self, uuid: str) -> None:
        self._note("technique", "PostCopy")

    @override
    async def suspend(self, uuid: str) -> None:
        self._suspended = True
        self._note("suspend", value=True)

    @override
    async def resume(self, uuid: str) -> None:
        self._suspended = False

    @override
    async def abort(self, uuid: str) -> None:
        self._note("abort", None)

    @override
    async def break_post_copy(self, uuid: str) -> None:
        raise AssertionError("no recording is interrupted")

    @override
    async def undefine(self, uuid: str) -> None:
        raise AssertionError("no recording ends so")

    def _note(self, what: str, value: object) -> None:
        self.asked.append((self.clock.seconds, what, value))
