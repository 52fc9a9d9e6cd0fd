"""A guest's second disk, which is on its host alone: what a migration with storage has to copy."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import libvirt

from vmferry_lab.hosts.host import LocalDisks

SIZE = 32 * 2**20
"""Bytes."""


@dataclass(frozen=True)
class LocalDisk:
    """The disk of a guest on one host, whether it is there or not.

    Args:
        guest: The guest's name.
        disks: Where the host has disks of its own.
    """

    guest: str
    disks: LocalDisks

    @property
    def path(self) -> Path:
        """The file, as the host sees it."""
        return self.disks.path / self._file

    @property
    def checksum(self) -> str | None:
        """SHA-256 of what is on it; None: it is not there."""
        seen_here = self.disks.seen_here / self._file
        if not seen_here.exists():
            return None
        with seen_here.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def write(self, connection: libvirt.virConnect) -> None:
        """Make it, with bytes that look random and follow from the guest's name."""
        content = hashlib.shake_256(self.guest.encode()).digest(SIZE)
        (self.disks.seen_here / self._file).write_bytes(content)
        self._refresh(connection)

    def remove(self, connection: libvirt.virConnect) -> None:
        """Remove it, if it is there."""
        (self.disks.seen_here / self._file).unlink(missing_ok=True)
        self._refresh(connection)

    def _refresh(self, connection: libvirt.virConnect) -> None:
        """Have the daemon look: it keeps a list of what its pool has, and would go by that."""
        connection.storagePoolLookupByName(self.disks.pool).refresh()

    @property
    def _file(self) -> str:
        return f"{self.guest}.disk"
