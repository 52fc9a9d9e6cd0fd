"""The host's files as its libvirt daemon sees them; an agent in a container may see others, or none."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from vmferry_agent.hypervisor.libvirt_daemons import listener

_PROC = Path("/proc")
_SYSTEM_SOCKETS = ("/run/libvirt/virtqemud-sock", "/run/libvirt/libvirt-sock")


@dataclass(frozen=True, kw_only=True)
class HostFiles:
    """Files below the root of another process on this host."""

    root: Path

    def has(self, path: str) -> bool | None:
        """Whether there is such a file or device; None: it can't be told.

        Whether QEMU may open it can't be told either: libvirt hands it over to QEMU before it starts.
        """
        place = self._place(path)
        if place is None:
            return None
        try:
            place.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return None
        return True

    def _place(self, path: str) -> Path | None:
        """Where this process finds it; None: a link is on the way, which would lead to this process' own files."""
        place = self.root
        for part in Path(path).parts[1:]:
            place /= part
            if self.root != Path("/") and _may_be_link(place):
                return None
        return place


def host_files(uri: str) -> HostFiles | None:
    """The files of the daemon that a connection's URI leads to; None: it is elsewhere, or lets nobody see them."""
    parts = urlsplit(uri)
    if not parts.scheme.startswith("qemu") or parts.hostname:
        return None
    sockets = parse_qs(parts.query).get("socket") or (_SYSTEM_SOCKETS if parts.path == "/system" else ())
    for path in sockets:
        found = listener(path)
        if found is not None:
            return _files_of(found[0])
    return None


def _files_of(process: int) -> HostFiles | None:
    """As the process sees them: as this one does, or through its root, for who is let to look there."""
    own, other = _PROC / "self", _PROC / str(process)
    try:
        same = all(
            os.path.samestat((own / what).stat(), (other / what).stat()) for what in ("ns/mnt", "root")
        )
    except OSError:
        return None
    return HostFiles(root=Path("/") if same else other / "root")


def _may_be_link(place: Path) -> bool:
    try:
        return place.is_symlink()
    except OSError:
        return True
