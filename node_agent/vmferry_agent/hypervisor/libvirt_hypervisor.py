"""The hypervisor port over libvirt's QEMU driver."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import libvirt
from typing_extensions import override

from vmferry_agent.hypervisor.calls import HangingCalls
from vmferry_agent.hypervisor.domain_xml import hardware
from vmferry_agent.hypervisor.features import features
from vmferry_agent.hypervisor.host_files import HostFiles, host_files
from vmferry_agent.hypervisor.libvirt_connection import LibvirtConnection
from vmferry_agent.hypervisor.libvirt_daemons import migration_ports
from vmferry_agent.hypervisor.libvirt_errors import translated, translated_resumption
from vmferry_agent.hypervisor.libvirt_jobs import measured, milliseconds, outgoing, sampled_of
from vmferry_agent.hypervisor.libvirt_measuring import timed
from vmferry_agent.hypervisor.libvirt_options import cache_size
from vmferry_agent.hypervisor.libvirt_requests import flags_of, mebi, parameters_of, refuse_addresses
from vmferry_agent.hypervisor.libvirt_suitability import cpu_refused, disk_found, machine_refused
from vmferry_agent.hypervisor.port import (
    CompletedJob,
    DiskFound,
    Domain,
    HostFacts,
    Hypervisor,
    HypervisorError,
    HypervisorUnreachable,
    Look,
    News,
    StartRequest,
    StreamHeld,
    Suitability,
)
from vmferry_agent.hypervisor.states import in_words
from vmferry_agent.hypervisor.versions import version_in_words
from vmferry_agent.measurements import UNMEASURED, Measurements
from vmferry_api.migrations import Disk, Hardware

_logger = logging.getLogger(__name__)

T = TypeVar("T")
Translate = Callable[[libvirt.libvirtError], HypervisorError]

CALL_DEADLINE = 35.0
"""Seconds for one call: libvirt itself waits up to 30 s for a domain's job lock."""
_FINDING_OUT = 5.0
"""Seconds for what is only good to know before a start: a host's first answer on its QEMU takes some."""
_MOST_COMPLETED = 100
"""Migrations whose figures are kept: those that others start, by virsh say, nobody asks about. Far more than
libvirt has ports for at a time."""
_EVENT_DEADLINE = 5.0
"""Seconds that the figures of a completed job may take to arrive after the migration's end."""
_GONE = {libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID}
"""What a call on a domain says when it has just stopped, or moved away."""
_KEEP_WHAT_BELONGS_TO_THE_VM = libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM | libvirt.VIR_DOMAIN_UNDEFINE_KEEP_TPM
"""As libvirt does at the end of a migration: on shared storage they are what the VM on the target uses."""
_GOES_ON = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY)
"""The state of the source's half of a post-copy that libvirt drives, and the reason."""
_LEFT_BEHIND = (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED)
"""The state of what a migration has left of a domain, and the reason."""


class LibvirtHypervisor(Hypervisor):
    """One libvirt daemon.

    Args:
        uri: libvirt's connection URI, such as qemu:///system.
        measurements: Told of each call.
        same_machine: The hosts are daemons of one machine, and a target may be reached by one of its sockets.
    """

    def __init__(
        self, uri: str, measurements: Measurements = UNMEASURED, *, same_machine: bool = False
    ) -> None:
        self._measurements = measurements
        self._same_machine = same_machine
        self._connection = LibvirtConnection(
            uri, job_completed=self._remember, opened=measurements.libvirt_connected
        )
        self._hanging = HangingCalls()
        self._completed: dict[str, CompletedJob] = {}
        """The latest ones that nobody has asked about yet, in the order in which they completed."""
        self._arrival = threading.Condition()

    @override
    async def facts(self) -> HostFacts:
        return await self._call("facts", self._facts)

    @override
    async def find(self, vm: str) -> Domain | None:
        return await self._call("find", partial(self._find, vm))

    @override
    async def look(self, domain: Domain) -> Look:
        return await self._call("jobStats", partial(self._look, domain), about=domain.uuid)

    @override
    async def hardware(self, uuid: str) -> Hardware | None:
        return await self._call("hardware", partial(self._hardware, uuid), about=uuid, deadline=_FINDING_OUT)

    @override
    async def suitability(self, hardware: Hardware) -> Suitability:
        machine, cpu, disks = await asyncio.gather(
            self._find_out("machine", lambda: machine_refused(self._connection.get(), hardware), None),
            self._find_out("cpu", lambda: cpu_refused(self._connection.get(), hardware), None),
            self._disks(hardware),
        )
        return Suitability(machine_refused=machine, cpu_refused=cpu, disks=tuple(disks))

    async def _disks(self, hardware: Hardware) -> list[DiskFound]:
        """Each in a call of its own: one on a file system that hangs must not hide what is known of the others."""
        files = await self._find_out("files", self._host_files, None)

        def find(path: str) -> DiskFound:
            with self._connection.opened() as connection:
                return disk_found(connection, files, path)

        paths = [each.path for each in hardware.disks]
        return await asyncio.gather(
            *(self._find_out(path, partial(find, path), DiskFound(path=path)) for path in paths)
        )

    @override
    async def measure_dirty_rate(self, uuid: str, period: timedelta) -> None:
        seconds = round(period.total_seconds())
        await self._on("startDirtyRateCalc", uuid, lambda domain: domain.startDirtyRateCalc(seconds, 0))

    @override
    async def dirty_rate(self, uuid: str) -> int | None:
        return await self._call("dirty rate", partial(self._dirty_rate, uuid), about=uuid)

    @override
    @contextmanager
    def listen(self, uuid: str, told: Callable[[News], None]) -> Iterator[None]:
        loop = asyncio.get_running_loop()

        def tell(news: News) -> None:
            with suppress(RuntimeError):  # the loop has been closed meanwhile: nobody listens
                loop.call_soon_threadsafe(told, news)

        with self._connection.listen(uuid, tell):
            yield

    @override
    async def migrate(self, uuid: str, request: StartRequest) -> None:
        refuse_addresses(request, same_machine=self._same_machine)
        with self._arrival:
            self._completed.pop(uuid, None)
        await self._call("migrateToURI3", partial(self._migrate, uuid, request), deadline=None)

    @override
    async def resume_post_copy(self, uuid: str, request: StartRequest) -> None:
        refuse_addresses(request, same_machine=self._same_machine)
        flags = libvirt.VIR_MIGRATE_POSTCOPY | libvirt.VIR_MIGRATE_POSTCOPY_RESUME
        resume = partial(self._migrate, uuid, request, flags=flags)
        await self._call("migrateToURI3", resume, deadline=None, translate=translated_resumption)

    @override
    async def completed(self, uuid: str) -> CompletedJob | None:
        return await self._call("completed", partial(self._wait_for_completed, uuid))

    @override
    async def set_max_downtime(self, uuid: str, value: timedelta) -> None:
        milliseconds = round(value.total_seconds() * 1000)
        await self._on(
            "migrateSetMaxDowntime", uuid, lambda domain: domain.migrateSetMaxDowntime(milliseconds, 0)
        )

    @override
    async def set_bandwidth(self, uuid: str, value: int | None) -> None:
        await self._on("migrateSetMaxSpeed", uuid, lambda domain: domain.migrateSetMaxSpeed(mebi(value), 0))

    @override
    async def set_post_copy_bandwidth(self, uuid: str, value: int | None) -> None:
        flag = libvirt.VIR_DOMAIN_MIGRATE_MAX_SPEED_POSTCOPY
        await self._on(
            "migrateSetMaxSpeed", uuid, lambda domain: domain.migrateSetMaxSpeed(mebi(value), flag)
        )

    @override
    async def set_compression_cache(self, uuid: str, size: int) -> None:
        await self._on(
            "migrateSetCompressionCache",
            uuid,
            lambda domain: domain.migrateSetCompressionCache(cache_size(size), 0),
        )

    @override
    async def start_post_copy(self, uuid: str) -> None:
        await self._on("migrateStartPostCopy", uuid, lambda domain: domain.migrateStartPostCopy(0))

    @override
    async def suspend(self, uuid: str) -> None:
        await self._on("suspend", uuid, lambda domain: domain.suspend())

    @override
    async def resume(self, uuid: str) -> None:
        await self._on("resume", uuid, lambda domain: domain.resume())

    @override
    async def abort(self, uuid: str) -> None:
        await self._on("abortJob", uuid, lambda domain: domain.abortJob())

    @override
    async def break_post_copy(self, uuid: str) -> None:
        flag = libvirt.VIR_DOMAIN_ABORT_JOB_POSTCOPY
        await self._on("abortJobFlags", uuid, lambda domain: domain.abortJobFlags(flag))

    @override
    async def undefine(self, uuid: str) -> None:
        await self._on("undefineFlags", uuid, _undefine)

    async def _on(self, name: str, uuid: str, act: Callable[[libvirt.virDomain], object]) -> None:
        given_up_at = time.monotonic() + CALL_DEADLINE

        def call() -> None:
            with self._connection.domain(uuid) as domain:
                if time.monotonic() >= given_up_at:  # a daemon that hung; by now something else may be wanted
                    raise TimeoutError
                act(domain)

        await self._call(name, call, about=uuid, deadline=CALL_DEADLINE)

    async def _call(
        self,
        name: str,
        function: Callable[[], T],
        *,
        about: str | None = None,
        deadline: float | None = CALL_DEADLINE,
        translate: Translate | None = None,
    ) -> T:
        """Make a call; `about`: what it may hang with, of which one abandoned call at a time is enough."""
        try:
            with timed(name, self._measurements):
                return await self._hanging.call(function, about=about, deadline=deadline)
        except TimeoutError as error:
            said = str(error) or f"libvirt did not answer within {deadline} s"
            raise HypervisorUnreachable(f"{said} ({name})") from None
        except HypervisorError:
            raise
        except libvirt.libvirtError as error:
            raise (translate or translated)(error) from error
        except Exception as error:  # such as the binding's, of a name that it can't pass on
            raise HypervisorError(f"{name}: {type(error).__name__}: {error}") from error

    async def _find_out(self, about: str, function: Callable[[], T], otherwise: T) -> T:
        """What is only good to know; without it libvirt still tells, later."""
        try:
            return await self._call("finding out", function, about=about, deadline=_FINDING_OUT)
        except HypervisorError as error:
            _logger.debug("not found out: %s", error)
            return otherwise

    def _facts(self) -> HostFacts:
        connection = self._connection.get()
        memory = connection.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)  # in KiB
        free = sum(memory.get(part, 0) for part in ("free", "buffers", "cached"))
        library, qemu, daemon = connection.getLibVersion(), connection.getVersion(), self._connection.daemon()
        return HostFacts(
            libvirt_version=version_in_words(library),
            qemu_version=version_in_words(qemu),
            free_memory=free * 1024,
            features=features(
                qemu_version=qemu, libvirt_version=min(library, libvirt.getVersion()), daemon=daemon
            ),
            migration_ports=migration_ports(daemon),
        )

    def _find(self, vm: str) -> Domain | None:
        connection = self._connection.get()
        for lookup in (connection.lookupByName, connection.lookupByUUIDString):
            try:
                return _describe(lookup(vm))
            except libvirt.libvirtError as error:
                if error.get_error_code() not in {libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_INVALID_ARG}:
                    raise
        return None

    def _hardware(self, uuid: str) -> Hardware | None:
        try:
            with self._connection.domain(uuid) as domain:
                if not domain.isActive():
                    return None
                found = hardware(domain.XMLDesc(0))
                return found.replace(disks=[_with_size(domain, each) for each in found.disks])
        except libvirt.libvirtError as error:
            if error.get_error_code() in _GONE:
                return None
            raise

    def _host_files(self) -> HostFiles | None:
        """Looked for once: the daemon logs each caller who only looks who it is."""
        return self._connection.once("files", lambda connection: host_files(connection.getURI()))

    def _dirty_rate(self, uuid: str) -> int | None:
        with self._connection.domain(uuid) as domain:
            ((_, found),) = domain.connect().domainListGetStats(
                [domain], libvirt.VIR_DOMAIN_STATS_DIRTYRATE, 0
            )
        return measured(found)

    def _look(self, known: Domain) -> Look:
        """Statistics before the state: a job that is gone between the two has left its mark on the state."""
        try:
            with self._connection.domain(known.uuid) as domain:
                job = outgoing(domain)
                seen = _state_of(domain, known)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return Look(domain=None, sample=None, busy=False)
            raise
        kind = libvirt.VIR_DOMAIN_JOB_NONE if job is None else job.get("type")
        runs = job is not None and kind == libvirt.VIR_DOMAIN_JOB_UNBOUNDED
        return Look(
            domain=seen,
            sample=sampled_of(job, known) if job is not None and runs else None,
            busy=kind != libvirt.VIR_DOMAIN_JOB_NONE,
        )

    def _migrate(self, uuid: str, request: StartRequest, flags: int = 0) -> None:
        with self._connection.opened() as connection:
            domain = _known(connection, uuid)
            if flags & libvirt.VIR_MIGRATE_POSTCOPY_RESUME:
                _check_interrupted(domain)
            domain.migrateToURI3(request.connect_uri, parameters_of(request), flags_of(request) | flags)

    def _remember(self, uuid: str, statistics: Mapping[str, Any]) -> None:
        leaves = libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT
        if statistics.get("operation", leaves) != leaves:
            return  # a backup, say
        job = CompletedJob(
            elapsed=milliseconds(statistics.get("time_elapsed")),
            downtime=milliseconds(statistics.get("downtime")),
            transferred=statistics.get("memory_processed"),
        )
        with self._arrival:
            self._completed.pop(uuid, None)
            self._completed[uuid] = job
            if len(self._completed) > _MOST_COMPLETED:
                del self._completed[next(iter(self._completed))]
            self._arrival.notify_all()

    def _wait_for_completed(self, uuid: str) -> CompletedJob | None:
        with self._arrival:
            self._arrival.wait_for(lambda: uuid in self._completed, timeout=_EVENT_DEADLINE)
            return self._completed.pop(uuid, None)


def _known(connection: libvirt.virConnect, uuid: str) -> libvirt.virDomain:
    """The domain here; what the call that follows says of a missing one is about the other host."""
    try:
        return connection.lookupByUUIDString(uuid)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            raise HypervisorError(str(translated(error))) from error
        raise


def _check_interrupted(domain: libvirt.virDomain) -> None:
    """Refused over a post-copy that goes on, libvirt 9.0 forgets its job: nobody would end the half here."""
    if tuple(domain.state()) == _GOES_ON:
        raise StreamHeld(
            f"the post-copy of {domain.name()} goes on, libvirt says; there is nothing to take up"
        )


def _undefine(domain: libvirt.virDomain) -> None:
    """One that runs libvirt would undefine, too: it would go on without, and be gone when it stops."""
    found = tuple(domain.state())
    if found != _LEFT_BEHIND:
        state, reason = in_words(*found)
        raise HypervisorError(f"{domain.name()} is {state} ({reason}), not what a migration has left behind")
    domain.undefineFlags(_KEEP_WHAT_BELONGS_TO_THE_VM)


def _state_of(domain: libvirt.virDomain, known: Domain) -> Domain | None:
    """The domain as it is now; None: it has just gone."""
    try:
        state, reason = in_words(*domain.state())
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise
    return replace(known, state=state, reason=reason)


def _with_size(domain: libvirt.virDomain, disk: Disk) -> Disk:
    """With what it takes here, where it may be copied and libvirt can tell."""
    if not disk.copied:
        return disk
    try:
        return disk.replace(size=domain.blockInfo(disk.path)[1])
    except libvirt.libvirtError as error:
        _logger.debug("%s: size not known: %s", disk.path, error)
        return disk


def _describe(domain: libvirt.virDomain) -> Domain:
    state, reason = in_words(*domain.state())
    return Domain(
        name=domain.name(),
        uuid=domain.UUIDString(),
        state=state,
        reason=reason,
        memory=domain.maxMemory() * 1024,
        vcpus=domain.vcpusFlags(0),
        persistent=bool(domain.isPersistent()),
    )
