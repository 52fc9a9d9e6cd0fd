"""What every kind of the lab's hosts can do; tests and the lab know no more of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class PostCopy:
    """Whether guests can leave for, and come to, a host by post-copy."""

    possible: bool
    reason: str
    """By what it is possible, or what to do about it."""


@dataclass(frozen=True, kw_only=True)
class LocalDisks:
    """A storage pool at the same path on each host, with disks that are the host's own."""

    pool: str
    path: Path
    """On the host."""
    seen_here: Path
    """The same directory, for programs on this machine."""


class Host(Protocol):
    """A libvirt host that is a node of the lab's cluster."""

    name: str

    @property
    def uri(self) -> str:
        """The connection URI for programs on this machine.

        Raises:
            LabError: The host is powered off.
        """

    @property
    def own_uri(self) -> str:
        """The connection URI for programs on the host."""

    @property
    def connect_uri(self) -> str:
        """The URI by which another host's libvirt daemon reaches this one's."""

    @property
    def migration_uri(self) -> str:
        """Where this host's QEMU listens for migrations; libvirt chooses the port."""

    @property
    def health_address(self) -> str:
        """Where its agent can serve health and metrics to programs on this machine."""

    @property
    def log(self) -> Path:
        """The libvirt daemon's log."""

    @property
    def post_copy(self) -> PostCopy:
        """Whether its QEMUs are let do post-copy, and why."""

    @property
    def local_disks(self) -> LocalDisks | None:
        """Where it has disks of its own; None: all that it has is shared with the others."""

    def command(self) -> list[str]:
        """The words before the command of what is to run on the host.

        Raises:
            LabError: The host is powered off.
        """

    def start(self) -> None:
        """Start the libvirt daemon unless it runs, and wait until it answers; guests that run are found again."""

    def kill_daemon(self) -> None:
        """Kill the libvirt daemon (SIGKILL); guests run on."""

    def stop(self) -> None:
        """Stop the daemon and every guest."""
