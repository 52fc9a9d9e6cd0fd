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

from vmferry_agent.hypervisor.calls import in_thread
from vmferry_agent.hypervisor.domain_xml import hardware
from vmferry_agent.hypervisor.features import features
from vmferry_agent.hypervisor.host_files import HostFiles, host_files
from vmferry_agent.hypervisor.libvirt_connection import LibvirtConnection
from vmferry_agent.hypervisor.libvirt_daemons import migration_ports
from vmferry_agent.hypervisor.libvirt_measuring import timed
from vmferry_agent.hypervisor.libvirt_options import cache_size, option_flags, option_parameters
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
    MigrationAborted,
    MigrationRunsAlready,
    News,
    Sample,
    StartRequest,
    StreamHeld,
    Suitability,
    TargetHalfLost,
)
from vmferry_agent.hypervisor.states import in_words
from vmferry_agent.hypervisor.versions import version_in_words
from vmferry_agent.measurements import UNMEASURED, Measurements
from vmferry_api.migrations import Disk, Hardware, Storage
from vmferry_api.policies import Encryption

_logger = logging.getLogger(__name__)

T = TypeVar("T")
Translate = Callable[[libvirt.libvirtError], HypervisorError]

CALL_DEADLINE = 35.0
"""Seconds for one call: libvirt itself waits up to 30 s for a domain's job lock."""
_FINDING_OUT = 5.0
"""Seconds for what is only good to know before a start: a host's first answer on its QEMU takes some."""
_EVENT_DEADLINE = 2.0
"""Seconds that the figures of a completed job may take to arrive after the migration's end."""
_LONGEST_MESSAGE = 1000
"""Characters; libvirt quotes all that QEMU has said, and status has bounds."""
_MEBI = 2**20
_UNLIMITED_MEBI = 2**63 // _MEBI - 1
"""libvirt's own value for no cap (QEMU_DOMAIN_MIG_BANDWIDTH_MAX), in MiB/s."""
_GONE = {libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID}
"""What a call on a domain says when it has just stopped, or moved away."""
_ANOTHER = "another migration job is already running"
"""What libvirt says then; the code that comes with it means many things."""
_STREAM_HELD = (
    "migration is still running",
    "being actively monitored by another thread",
    "already in progress",
)
"""What libvirt says while a post-copy can't be taken up again yet."""
_NO_HALF = "is not processing incoming migration"
"""What the target says of a domain that is down."""
_KEEP_WHAT_BELONGS_TO_THE_VM = libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM | libvirt.VIR_DOMAIN_UNDEFINE_KEEP_TPM
"""As libvirt does at the end of a migration: on shared storage they are what the VM on the target uses."""
_UNSAFE = (
    "name a shared file system that libvirt does not know in shared_filesystems in qemu.conf, give the disks "
    "cache='none', or have them copied (spec.storage)"
)
_LOST = {libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_ERR_NO_CONNECT}
_LOST_IN = {libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE}
_GOES_ON = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY)
"""The state of the source's half of a post-copy that libvirt drives, and the reason."""
_LEFT_BEHIND = (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED)
"""The state of what a migration has left of a domain, and the reason."""


class LibvirtHypervisor(Hypervisor):
    """One libvirt daemon.

    Args:
        uri: libvirt's connection URI, such as qemu:///system.
        measurements: Told of each call.
    """

    def __init__(self, uri: str, measurements: Measurements = UNMEASURED) -> None:
        self._measurements = measurements
        self._connection = LibvirtConnection(
            uri, job_completed=self._remember, opened=measurements.libvirt_connected
        )
        self._completed: dict[str, CompletedJob] = {}
        self._arrival = threading.Condition()
        self._handles: dict[str, tuple[libvirt.virConnect, libvirt.virDomain]] = {}
        self._files: tuple[libvirt.virConnect, HostFiles | None] | None = None

    @override
    async def facts(self) -> HostFacts:
        return await self._call("facts", self._facts)

    @override
    async def find(self, vm: str) -> Domain | None:
        return await self._call("find", partial(self._find, vm))

    @override
    async def look(self, domain: Domain) -> Look:
        return await self._call("jobStats", partial(self._look, domain))

    @override
    async def hardware(self, uuid: str) -> Hardware | None:
        return await self._call("hardware", partial(self._hardware, uuid), deadline=_FINDING_OUT)

    @override
    async def suitability(self, hardware: Hardware) -> Suitability:
        machine, cpu, disks = await asyncio.gather(
            self._find_out(lambda: machine_refused(self._connection.get(), hardware), None),
            self._find_out(lambda: cpu_refused(self._connection.get(), hardware), None),
            self._disks(hardware),
        )
        return Suitability(machine_refused=machine, cpu_refused=cpu, disks=tuple(disks))

    async def _disks(self, hardware: Hardware) -> list[DiskFound]:
        """Each in a call of its own: one on a file system that hangs must not hide what is known of the others."""
        files = await self._find_out(self._host_files, None)

        def find(path: str) -> DiskFound:
            return disk_found(self._connection.get(), files, path)

        paths = [each.path for each in hardware.disks]
        return await asyncio.gather(
            *(self._find_out(partial(find, path), DiskFound(path=path)) for path in paths)
        )

    @override
    async def measure_dirty_rate(self, uuid: str, period: timedelta) -> None:
        seconds = round(period.total_seconds())
        await self._on(uuid, lambda domain: domain.startDirtyRateCalc(seconds, 0))

    @override
    async def dirty_rate(self, uuid: str) -> int | None:
        return await self._call("dirty rate", partial(self._dirty_rate, uuid))

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
        with self._arrival:
            self._completed.pop(uuid, None)
        await self._call("migrateToURI3", partial(self._migrate, uuid, request), deadline=None)

    @override
    async def resume_post_copy(self, uuid: str, request: StartRequest) -> None:
        flags = libvirt.VIR_MIGRATE_POSTCOPY | libvirt.VIR_MIGRATE_POSTCOPY_RESUME
        resume = partial(self._migrate, uuid, request, flags=flags)
        await self._call("migrateToURI3", resume, deadline=None, translate=_translated_resumption)

    @override
    async def completed(self, uuid: str) -> CompletedJob | None:
        return await self._call("completed", partial(self._wait_for_completed, uuid))

    @override
    async def set_max_downtime(self, uuid: str, value: timedelta) -> None:
        milliseconds = round(value.total_seconds() * 1000)
        await self._on(uuid, lambda domain: domain.migrateSetMaxDowntime(milliseconds, 0))

    @override
    async def set_bandwidth(self, uuid: str, value: int | None) -> None:
        await self._on(uuid, lambda domain: domain.migrateSetMaxSpeed(_mebi(value), 0))

    @override
    async def set_post_copy_bandwidth(self, uuid: str, value: int | None) -> None:
        flag = libvirt.VIR_DOMAIN_MIGRATE_MAX_SPEED_POSTCOPY
        await self._on(uuid, lambda domain: domain.migrateSetMaxSpeed(_mebi(value), flag))

    @override
    async def set_compression_cache(self, uuid: str, size: int) -> None:
        await self._on(uuid, lambda domain: domain.migrateSetCompressionCache(cache_size(size), 0))

    @override
    async def start_post_copy(self, uuid: str) -> None:
        await self._on(uuid, lambda domain: domain.migrateStartPostCopy(0))

    @override
    async def suspend(self, uuid: str) -> None:
        await self._on(uuid, lambda domain: domain.suspend())

    @override
    async def resume(self, uuid: str) -> None:
        await self._on(uuid, lambda domain: domain.resume())

    @override
    async def abort(self, uuid: str) -> None:
        await self._on(uuid, lambda domain: domain.abortJob())

    @override
    async def break_post_copy(self, uuid: str) -> None:
        flag = libvirt.VIR_DOMAIN_ABORT_JOB_POSTCOPY
        await self._on(uuid, lambda domain: domain.abortJobFlags(flag))

    @override
    async def undefine(self, uuid: str) -> None:
        await self._on(uuid, _undefine)

    async def _on(self, uuid: str, act: Callable[[libvirt.virDomain], object]) -> None:
        given_up_at = time.monotonic() + CALL_DEADLINE

        def call() -> None:
            domain = self._connection.get().lookupByUUIDString(uuid)
            if time.monotonic() >= given_up_at:  # a daemon that hung; by now something else may be wanted
                raise TimeoutError
            act(domain)

        await self._call("call", call, deadline=CALL_DEADLINE)

    async def _call(
        self,
        name: str,
        function: Callable[[], T],
        *,
        deadline: float | None = CALL_DEADLINE,
        translate: Translate | None = None,
    ) -> T:
        try:
            with timed(name, self._measurements):
                return await in_thread(function, deadline=deadline)
        except TimeoutError as error:
            said = str(error) or f"libvirt did not answer within {deadline} s"
            raise HypervisorUnreachable(f"{said} ({name})") from None
        except HypervisorError:
            raise
        except libvirt.libvirtError as error:
            raise (translate or _translated)(error) from error
        except Exception as error:  # such as the binding's, of a name that it can't pass on
            raise HypervisorError(f"{name}: {type(error).__name__}: {error}") from error

    async def _find_out(self, function: Callable[[], T], otherwise: T) -> T:
        """What is only good to know; without it libvirt still tells, later."""
        try:
            return await self._call("finding out", function, deadline=_FINDING_OUT)
        except HypervisorError as error:
            _logger.debug("not found out: %s", error)
            return otherwise

    def _facts(self) -> HostFacts:
        connection = self._connection.get()
        memory = connection.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)  # in KiB
        free = sum(memory.get(part, 0) for part in ("free", "buffers", "cached"))
        return HostFacts(
            libvirt_version=version_in_words(connection.getLibVersion()),
            qemu_version=version_in_words(connection.getVersion()),
            free_memory=free * 1024,
            features=features(
                qemu_version=connection.getVersion(),
                libvirt_version=min(connection.getLibVersion(), libvirt.getVersion()),
                daemon=self._connection.daemon(),
            ),
            migration_ports=migration_ports(self._connection.daemon()),
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
            domain = self._connection.get().lookupByUUIDString(uuid)
            if not domain.isActive():
                return None
            found = hardware(domain.XMLDesc(0))
        except libvirt.libvirtError as error:
            if error.get_error_code() in _GONE:
                return None
            raise
        return found.replace(disks=[_with_size(domain, each) for each in found.disks])

    def _host_files(self) -> HostFiles | None:
        """Looked for once per connection: the daemon logs each caller who only looks who it is."""
        connection = self._connection.get()
        if self._files is None or self._files[0] is not connection:
            self._files = (connection, host_files(connection.getURI()))
        return self._files[1]

    def _dirty_rate(self, uuid: str) -> int | None:
        connection = self._connection.get()
        domain = connection.lookupByUUIDString(uuid)
        ((_, found),) = connection.domainListGetStats([domain], libvirt.VIR_DOMAIN_STATS_DIRTYRATE, 0)
        return measured(found)

    def _look(self, known: Domain) -> Look:
        """Statistics before the state: a job that is gone between the two has left its mark on the state."""
        domain = self._handle(known.uuid)
        if domain is None:
            return Look(domain=None, sample=None, busy=False)
        job = _outgoing(domain)
        seen = _state_of(domain, known)
        kind = libvirt.VIR_DOMAIN_JOB_NONE if job is None else job.get("type")
        runs = job is not None and kind == libvirt.VIR_DOMAIN_JOB_UNBOUNDED
        return Look(
            domain=seen,
            sample=_sampled(job, known) if job is not None and runs else None,
            busy=kind != libvirt.VIR_DOMAIN_JOB_NONE,
        )

    def _handle(self, uuid: str) -> libvirt.virDomain | None:
        """The domain to ask again and again; found once per connection."""
        connection = self._connection.get()
        known = self._handles.get(uuid)
        if known is None or known[0] is not connection:
            try:
                known = self._handles[uuid] = (connection, connection.lookupByUUIDString(uuid))
            except libvirt.libvirtError as error:
                if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                    return None
                raise
        return known[1]

    def _migrate(self, uuid: str, request: StartRequest, flags: int = 0) -> None:
        connection = self._connection.open()
        try:
            domain = _known(connection, uuid)
            if flags & libvirt.VIR_MIGRATE_POSTCOPY_RESUME:
                _check_interrupted(domain)
            domain.migrateToURI3(request.connect_uri, _parameters(request), _flags(request) | flags)
        finally:
            connection.close()
            self._handles.pop(uuid, None)

    def _remember(self, uuid: str, statistics: Mapping[str, Any]) -> None:
        job = CompletedJob(
            elapsed=_milliseconds(statistics.get("time_elapsed")),
            downtime=_milliseconds(statistics.get("downtime")),
            transferred=statistics.get("memory_processed"),
        )
        with self._arrival:
            self._completed[uuid] = job
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
            raise HypervisorError(str(_translated(error))) from error
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


def _outgoing(domain: libvirt.virDomain) -> Mapping[str, Any] | None:
    """The statistics of its outgoing migration; None: there is no such job."""
    try:
        statistics: Mapping[str, Any] = domain.jobStats()
    except libvirt.libvirtError as error:
        if error.get_error_code() in _GONE | {libvirt.VIR_ERR_OPERATION_UNSUPPORTED}:
            return None
        raise
    outgoing = statistics.get("operation") == libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT
    return statistics if outgoing else None


def _sampled(job: Mapping[str, Any], known: Domain) -> Sample:
    found = sampled(job)
    if found.total == 0 and found.disk_total > 0:  # disks come first; QEMU has not counted the memory yet
        return replace(found, total=known.memory)
    return found


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


def measured(statistics: Mapping[str, Any]) -> int | None:
    """The dirty rate in a domain's statistics, in bytes per second; None: it is not measured (yet)."""
    if statistics.get("dirtyrate.calc_status") != libvirt.VIR_DOMAIN_DIRTYRATE_MEASURED:
        return None
    mebibytes: int | None = statistics.get("dirtyrate.megabytes_per_second")
    return None if mebibytes is None else mebibytes * _MEBI


def sampled(statistics: Mapping[str, Any]) -> Sample:
    """A sample, from the statistics of a job; what an older libvirt or QEMU does not tell is left out."""
    page = statistics.get("memory_page_size", 4096)
    dirty_pages = statistics.get("memory_dirty_rate")
    return Sample(
        elapsed=timedelta(milliseconds=statistics.get("time_elapsed", 0)),
        memory_pass=statistics.get("memory_iteration", 0),
        remaining=statistics.get("memory_remaining", 0),
        transferred=statistics.get("memory_processed", 0),
        total=statistics.get("memory_total", 0),
        bandwidth=statistics.get("memory_bps"),
        dirty_rate=None if dirty_pages is None else dirty_pages * page,
        expected_downtime=_milliseconds(statistics.get("downtime")),
        throttle=statistics.get("auto_converge_throttle"),
        zero_pages=statistics.get("memory_constant", 0),
        normal_pages=statistics.get("memory_normal", 0),
        post_copy_requests=statistics.get("memory_postcopy_requests", 0),
        disk_total=statistics.get("disk_total", 0),
        disk_transferred=statistics.get("disk_processed", 0),
        disk_remaining=statistics.get("disk_remaining", 0),
    )


def _milliseconds(number: int | None) -> timedelta | None:
    return None if number is None else timedelta(milliseconds=number)


def _flags(request: StartRequest) -> int:
    flags: int = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER
    if request.persistent:
        flags |= libvirt.VIR_MIGRATE_PERSIST_DEST | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
    if request.post_copy:
        flags |= libvirt.VIR_MIGRATE_POSTCOPY
    if request.storage == Storage.COPY_ALL:
        flags |= libvirt.VIR_MIGRATE_NON_SHARED_DISK
    if request.storage == Storage.COPY_INCREMENTAL:
        flags |= libvirt.VIR_MIGRATE_NON_SHARED_INC
    return flags | option_flags(request.options)


def _parameters(request: StartRequest) -> dict[str, object]:
    parameters: dict[str, object] = {}
    if request.migration_uri is not None:
        parameters[libvirt.VIR_MIGRATE_PARAM_URI] = request.migration_uri
    if request.bandwidth is not None:
        parameters[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] = _mebi(request.bandwidth)
    if request.post_copy and request.post_copy_bandwidth is not None:
        parameters[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH_POSTCOPY] = _mebi(request.post_copy_bandwidth)
    encrypted = request.options.encryption == Encryption.REQUIRED
    if encrypted and request.tls_destination is not None:
        parameters[libvirt.VIR_MIGRATE_PARAM_TLS_DESTINATION] = request.tls_destination
    return parameters | option_parameters(request.options)


def _mebi(value: int | None) -> int:
    """Bytes per second in libvirt's unit, MiB/s."""
    return _UNLIMITED_MEBI if value is None else max(1, value // _MEBI)


def _translated(error: libvirt.libvirtError) -> HypervisorError:
    code = error.get_error_code()
    said = (error.get_error_message() or str(error))[:_LONGEST_MESSAGE]
    message = f"{said} (libvirt error {code})"
    if code == libvirt.VIR_ERR_MIGRATE_UNSAFE:
        return HypervisorError(f"{message}; {_UNSAFE}")
    if code == libvirt.VIR_ERR_OPERATION_ABORTED:
        return MigrationAborted(message)
    if code == libvirt.VIR_ERR_OPERATION_INVALID and _ANOTHER in said:
        return MigrationRunsAlready(message)
    lost = code in _LOST and error.get_error_domain() in _LOST_IN
    if lost or code == libvirt.VIR_ERR_OPERATION_TIMEOUT:  # another job has held the domain for 30 s
        return HypervisorUnreachable(message)
    return HypervisorError(message)


def _translated_resumption(error: libvirt.libvirtError) -> HypervisorError:
    """Of a post-copy that could not be taken up again; that the domain is here has been seen before."""
    said = error.get_error_message() or ""
    translated = _translated(error)
    if any(words in said for words in _STREAM_HELD):
        return StreamHeld(str(translated))
    if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN or _NO_HALF in said:
        return TargetHalfLost(str(translated))
    return translated
