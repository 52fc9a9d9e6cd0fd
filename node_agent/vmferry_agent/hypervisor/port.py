"""What the agent needs of a hypervisor; libvirt is behind it, and everything above is tested without."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import Protocol

from vmferry_api.features import Feature
from vmferry_api.migrations import Hardware, Storage, VMState
from vmferry_api.policies import StartOptions


class HypervisorError(Exception):
    """The hypervisor refused or could not be reached.

    Args:
        message: What it said, with its own error code.
    """


class HypervisorUnreachable(HypervisorError):  # noqa: N818 - the state of things, not a mistake
    """It could not be reached, or did not answer in time: what was asked may or may not have happened."""


class MigrationAborted(HypervisorError):  # noqa: N818 - as asked for
    """The job was aborted by someone, and the domain stayed."""


class MigrationRunsAlready(HypervisorError):  # noqa: N818 - the state of things, not a mistake
    """Nothing was started: the domain has a migration that somebody else has."""


class StreamHeld(HypervisorError):  # noqa: N818 - the state of things, not a mistake
    """A post-copy can't be taken up again yet: one of its QEMUs still holds the stream, or sends by it."""


class TargetHalfLost(HypervisorError):  # noqa: N818 - the state of things, not a mistake
    """A post-copy can't be taken up again any more: the target has no half that waits for the rest."""


@dataclass(frozen=True, kw_only=True)
class HostFacts:
    """What the host is."""

    libvirt_version: str
    qemu_version: str
    free_memory: int
    """Bytes that a new guest could take."""
    features: frozenset[Feature] = frozenset()
    """What it can really do; what can't be known is left out."""
    migration_ports: range = range(49152, 49216)
    """Where its QEMUs listen for migrations; libvirt's, unless its configuration is known to say otherwise."""


@dataclass(frozen=True, kw_only=True)
class DiskFound:
    """What the host knows of a disk's file or device; None: it can't tell."""

    path: str
    there: bool | None = None
    pool: bool | None = None
    """Whether a running storage pool is of its directory."""
    room: int | None = None
    """Bytes free in that pool."""


@dataclass(frozen=True, kw_only=True)
class Suitability:
    """What the host has of what a VM needs; what it can't tell is not lacking."""

    machine_refused: str | None = None
    """Why it can't run such a machine, in libvirt's words."""
    cpu_refused: str | None = None
    """Why it can't provide the processor, in libvirt's words."""
    disks: tuple[DiskFound, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Domain:
    """A domain as the host sees it."""

    name: str
    uuid: str
    state: VMState
    reason: str
    """libvirt's reason for the state, such as PostCopy."""
    memory: int
    """Bytes."""
    vcpus: int
    persistent: bool

    @property
    def in_post_copy(self) -> bool:
        """Whether it is one half of a post-copy that goes on or was interrupted."""
        return self.reason.startswith("PostCopy")

    @property
    def post_copy_failed(self) -> bool:
        """Whether it is one half of a post-copy that libvirt calls interrupted."""
        return self.reason == "PostCopyFailed"

    @property
    def moved_away(self) -> bool:
        """Whether it is what is left of a domain that has migrated."""
        return self.state == VMState.SHUT_OFF and self.reason == "Migrated"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A running outgoing migration at one moment (virDomainGetJobStats)."""

    elapsed: timedelta
    memory_pass: int
    """QEMU's memory_iteration; 0 until the target is ready and the first pass begins."""
    remaining: int
    transferred: int
    total: int
    bandwidth: int | None
    """Bytes per second over the last 100 ms."""
    dirty_rate: int | None
    """Bytes per second; never above the bandwidth, which hides the rest of it."""
    expected_downtime: timedelta | None
    """QEMU's; true from pass 2 on (before that it is the limit itself)."""
    throttle: int | None
    zero_pages: int = 0
    """Pages found to be all zero so far, of which only that is sent."""
    normal_pages: int = 0
    """Pages sent as they are so far."""
    post_copy_requests: int = 0
    """Pages that the guest on the target has asked for."""
    disk_total: int = 0
    """Bytes of disks to copy; 0: none are."""
    disk_transferred: int = 0
    disk_remaining: int = 0


class News(Enum):
    """What is heard of a domain."""

    PASS = auto()
    """Its migration has begun another pass over the memory."""
    STATE = auto()
    """Its state has changed, or its job has ended."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """A domain and its outgoing migration at one moment."""

    domain: Domain | None
    sample: Sample | None
    """None: no migration runs, or the domain is gone."""
    busy: bool
    """An outgoing migration holds the domain: it runs, or is aborted and not yet cleaned up."""


@dataclass(frozen=True, kw_only=True)
class CompletedJob:
    """A migration that completed."""

    downtime: timedelta | None
    transferred: int | None
    elapsed: timedelta | None = None
    """From its start to its end."""


@dataclass(frozen=True, kw_only=True)
class StartRequest:
    """How to start a migration."""

    connect_uri: str
    """How the daemon of this host reaches the target's."""
    migration_uri: str | None
    bandwidth: int | None
    """Bytes per second; None: no cap."""
    post_copy_bandwidth: int | None
    post_copy: bool
    """Start so that it can be switched to post-copy."""
    persistent: bool
    """Define it on the target and undefine it here."""
    options: StartOptions
    """What QEMU fixes at the start."""
    storage: Storage = Storage.SHARED
    """What becomes of the disks."""
    tls_destination: str | None = None
    """The name that the target's certificate must hold; None: the host of the migration's URI."""


class Hypervisor(Protocol):
    """One host's.

    Every call has a deadline of its own. All raise HypervisorError when the host refuses, its subclass
    HypervisorUnreachable when it can't be asked.
    """

    async def facts(self) -> HostFacts:
        """What the host is."""

    async def find(self, vm: str) -> Domain | None:
        """The domain of this name or UUID."""

    async def hardware(self, uuid: str) -> Hardware | None:
        """What a domain needs of another host; None: it does not run, or is gone."""

    async def suitability(self, hardware: Hardware) -> Suitability:
        """What this host has of that; never an error: what can't be found out in time is not known."""

    async def measure_dirty_rate(self, uuid: str, period: timedelta) -> None:
        """Begin to count what a guest writes for so long. Not in a migration: the call would wait for its end."""

    async def dirty_rate(self, uuid: str) -> int | None:
        """What the measurement has shown, in bytes per second; None: it goes on."""

    async def look(self, domain: Domain) -> Look:
        """What has become of a domain, and how its outgoing migration stands; asked for often, so it is cheap."""

    def listen(self, uuid: str, told: Callable[[News], None]) -> AbstractContextManager[None]:
        """Have news of a domain told, in the event loop, as long as the context lasts.

        It speeds things up and nothing rests on it: what happens while the host can't be reached is not told.
        """

    async def migrate(self, uuid: str, request: StartRequest) -> None:
        """Start a migration and wait for its end; the host goes on with it when the caller is gone.

        Raises:
            MigrationAborted: It was aborted.
            MigrationRunsAlready: There is another one.
        """

    async def resume_post_copy(self, uuid: str, request: StartRequest) -> None:
        """Take up a post-copy that was interrupted, and wait for its end.

        Raises:
            StreamHeld: Not yet.
            TargetHalfLost: Never more.
        """

    async def completed(self, uuid: str) -> CompletedJob | None:
        """The figures of a migration that has just completed; None: there are none. Tells them once."""

    async def set_max_downtime(self, uuid: str, value: timedelta) -> None:
        """Let QEMU switch over as soon as so short a stop is enough."""

    async def set_bandwidth(self, uuid: str, value: int | None) -> None:
        """Cap the stream in pre-copy, in bytes per second; None: no cap."""

    async def set_post_copy_bandwidth(self, uuid: str, value: int | None) -> None:
        """Cap the stream in post-copy."""

    async def set_compression_cache(self, uuid: str, size: int) -> None:
        """Resize XBZRLE's cache, in bytes."""

    async def start_post_copy(self, uuid: str) -> None:
        """Run the guest on the target at once; only pre-copy that was started so can do it."""

    async def suspend(self, uuid: str) -> None:
        """Pause the guest."""

    async def resume(self, uuid: str) -> None:
        """Let a paused guest run again."""

    async def abort(self, uuid: str) -> None:
        """End the outgoing migration; the domain stays. Refused in post-copy."""

    async def break_post_copy(self, uuid: str) -> None:
        """End this side's stream of a post-copy, so that it can be taken up again by another one."""

    async def undefine(self, uuid: str) -> None:
        """Forget the definition that a domain which has migrated has left behind; refused for any other."""
