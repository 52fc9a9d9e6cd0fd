"""A hypervisor behind the port that does what a test tells it to, and remembers what was asked of it."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from typing_extensions import override

from vmferry_agent.hypervisor.port import (
    CompletedJob,
    Domain,
    HostFacts,
    Hypervisor,
    HypervisorError,
    Look,
    MigrationAborted,
    News,
    Sample,
    StartRequest,
    Suitability,
)
from vmferry_api.features import Feature
from vmferry_api.migrations import Disk, Hardware, VMState

UUID = "00000000-0000-4000-8000-000000000001"
HARDWARE = Hardware(type="kvm", arch="x86_64", cpu="<cpu/>", disks=[Disk(path="/d/db-1.img", copied=True)])


def domain(state: VMState = VMState.RUNNING, reason: str = "Booted") -> Domain:
    """The one domain."""
    return Domain(name="db-1", uuid=UUID, state=state, reason=reason, memory=2**30, vcpus=1, persistent=True)


def sample(memory_pass: int = 2, needed: int = 1000, sent: int = 0) -> Sample:
    """A sample of its migration."""
    return Sample(
        elapsed=timedelta(seconds=1),
        memory_pass=memory_pass,
        remaining=2**20,
        transferred=sent,
        total=2**30,
        bandwidth=50 * 2**20,
        dirty_rate=50 * 2**20,
        expected_downtime=timedelta(milliseconds=needed),
        throttle=None,
    )


class ScriptedHypervisor(Hypervisor):
    """One domain; a migration runs from `migrate` until `end` or `abort`."""

    def __init__(self) -> None:
        self.domain: Domain | None = domain()
        self.features: frozenset[Feature] = frozenset()
        self.needs: Hardware | None = HARDWARE
        self.suits = Suitability()
        self.writes: int | None = 80_000_000
        """What the guest writes in a second; None: the measurement never ends."""
        self.job: Sample | None = None
        self.figures: CompletedJob | None = CompletedJob(
            downtime=timedelta(milliseconds=95), transferred=2**30
        )
        """What libvirt tells of a migration that has completed."""
        self.cleaning_up = False
        """What an aborted migration has left is still being cleaned up."""
        self.looks: Counter[str] = Counter()
        """How often it was asked what there is."""
        self.asked: list[tuple[object, ...]] = []
        self.questions: list[tuple[object, ...]] = []
        """What it was asked about a VM before a start, which changes nothing."""
        self.refuse: dict[str, HypervisorError] = {}
        self.news = asyncio.Condition()
        self.listeners: list[Callable[[News], None]] = []
        self._end: asyncio.Future[None] | None = None

    def tell(self, news: News) -> None:
        """Who listens hears it."""
        for told in list(self.listeners):
            told(news)

    def run_job(self) -> None:
        """A migration runs that nobody of this process has started."""
        self.job = sample()

    def leave(self) -> None:
        """The VM arrives on the target."""
        self.domain, self.job = None, None
        if self._end is not None and not self._end.done():
            self._end.set_result(None)

    def die(self, error: HypervisorError) -> None:
        """The VM, of which nobody keeps a definition, dies on its source."""
        self.domain, self.figures = None, None
        self.fail(error)

    def lose_call(self, error: HypervisorError) -> None:
        """The call that started the migration fails; the job goes on."""
        if self._end is not None:
            self._end.set_exception(error)

    def fail(self, error: HypervisorError) -> None:
        """The migration fails by itself; the VM stays."""
        self.job = None
        self.lose_call(error)

    @override
    async def facts(self) -> HostFacts:
        await self._look("facts")
        return HostFacts(
            libvirt_version="9.0.0", qemu_version="7.2.0", free_memory=2**34, features=self.features
        )

    @override
    async def find(self, vm: str) -> Domain | None:
        await self._look("find")
        return self.domain

    @override
    async def look(self, domain: Domain) -> Look:
        await self._look("look")
        return Look(domain=self.domain, sample=self.job, busy=self.job is not None or self.cleaning_up)

    @override
    async def hardware(self, uuid: str) -> Hardware | None:
        await self._answer("hardware")
        return self.needs

    @override
    async def suitability(self, hardware: Hardware) -> Suitability:
        await self._answer("suitability", hardware)
        return self.suits

    @override
    async def measure_dirty_rate(self, uuid: str, period: timedelta) -> None:
        await self._answer("measure_dirty_rate", period)

    @override
    async def dirty_rate(self, uuid: str) -> int | None:
        await self._answer("dirty_rate")
        return self.writes

    @override
    @contextmanager
    def listen(self, uuid: str, told: Callable[[News], None]) -> Iterator[None]:
        self.listeners.append(told)
        yield
        self.listeners.remove(told)

    @override
    async def migrate(self, uuid: str, request: StartRequest) -> None:
        await self.note("migrate", request)
        self.job = sample()
        self._end = asyncio.get_running_loop().create_future()
        await self._end

    @override
    async def resume_post_copy(self, uuid: str, request: StartRequest) -> None:
        await self.note("resume_post_copy", request)
        self.domain = domain(VMState.PAUSED, "PostCopy")
        self._end = asyncio.get_running_loop().create_future()
        await self._end

    @override
    async def completed(self, uuid: str) -> CompletedJob | None:
        return self.figures

    @override
    async def set_max_downtime(self, uuid: str, value: timedelta) -> None:
        await self.note("set_max_downtime", value)

    @override
    async def set_bandwidth(self, uuid: str, value: int | None) -> None:
        await self.note("set_bandwidth", value)

    @override
    async def set_post_copy_bandwidth(self, uuid: str, value: int | None) -> None:
        await self.note("set_post_copy_bandwidth", value)

    @override
    async def set_compression_cache(self, uuid: str, size: int) -> None:
        await self.note("set_compression_cache", size)

    @override
    async def start_post_copy(self, uuid: str) -> None:
        await self.note("start_post_copy")
        self.domain = domain(VMState.PAUSED, "PostCopy")

    @override
    async def suspend(self, uuid: str) -> None:
        await self.note("suspend")
        self.domain = domain(VMState.PAUSED, "User")

    @override
    async def resume(self, uuid: str) -> None:
        await self.note("resume")
        self.domain = domain()

    @override
    async def abort(self, uuid: str) -> None:
        await self.note("abort")
        self.job = None
        if self._end is not None and not self._end.done():
            self._end.set_exception(MigrationAborted("aborted"))

    @override
    async def break_post_copy(self, uuid: str) -> None:
        await self.note("break_post_copy")
        self.domain = domain(VMState.PAUSED, "PostCopyFailed")
        self.lose_call(HypervisorError("job 'migration in' failed in post-copy phase (libvirt error 9)"))

    @override
    async def undefine(self, uuid: str) -> None:
        await self.note("undefine")
        self.domain = None

    async def _look(self, name: str) -> None:
        async with self.news:
            self.looks[name] += 1
            self.news.notify_all()
        if name in self.refuse:
            raise self.refuse[name]

    async def note(self, name: str, *values: object) -> None:
        """Remember what was asked, and refuse it where the test says so."""
        await self._remember(self.asked, name, *values)

    async def _answer(self, name: str, *values: object) -> None:
        await self._remember(self.questions, name, *values)

    async def _remember(self, where: list[tuple[object, ...]], name: str, *values: object) -> None:
        async with self.news:
            where.append((name, *values))
            self.news.notify_all()
        if name in self.refuse:
            raise self.refuse[name]

    @property
    def starts(self) -> list[StartRequest]:
        """How migrations were started."""
        return [each[1] for each in self.asked if isinstance(each[-1], StartRequest)]

    def was_asked(self, name: str) -> bool:
        """Whether something was asked for."""
        return any(each[0] == name for each in [*self.asked, *self.questions])
