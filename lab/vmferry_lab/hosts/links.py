"""Links of a given rate between two hosts of the lab: network namespaces whose loopback carries no more."""

import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vmferry_lab.errors import LabError
from vmferry_lab.hosts.privileges import is_root

_NAMESPACES = Path("/run/netns")
_BURST = "256kb"
"""Several of the 64 KiB packets that the loopback takes."""
_LATENCY = "50ms"
"""Of queue; what is more is dropped, and TCP slows down."""
_TIMEOUT = 20.0


@dataclass(frozen=True, kw_only=True)
class Link:
    """What joins two hosts; their daemons and guests run in its network namespace. Needs root.

    Bandwidth limits of libvirt do not hold for a migration's last copy, nor for post-copy; a link's does.
    """

    lab: Path
    number: int
    rate: int
    """Bytes per second, both directions together."""

    @property
    def name(self) -> str:
        """The namespace's, which `down` knows it by, too."""
        return f"{_prefix(self.lab)}{self.number}"

    def create(self) -> None:
        """Make it, unless it is there.

        Raises:
            LabError: The lab is not run by root, or the kernel refuses.
        """
        if not is_root():
            raise LabError("a link of a given rate needs a network namespace, and that needs root")
        if (_NAMESPACES / self.name).exists():
            return
        _run(["ip", "netns", "add", self.name])
        _run(["ip", "-n", self.name, "link", "set", "lo", "up"])
        shape = ["rate", f"{self.rate * 8}bit", "burst", _BURST, "latency", _LATENCY]
        _run(["tc", "-n", self.name, "qdisc", "add", "dev", "lo", "root", "tbf", *shape])

    def command(self) -> list[str]:
        """The words before the command of what is to run at its ends."""
        return ["nsenter", f"--net={_NAMESPACES / self.name}"]


def remove_links(lab: Path) -> None:
    """Remove all links of a lab; whatever ran there has been stopped.

    Raises:
        LabError: The kernel refuses.
    """
    if not is_root() or not _NAMESPACES.is_dir():
        return
    for namespace in _NAMESPACES.glob(f"{_prefix(lab)}*"):
        _run(["ip", "netns", "del", namespace.name])


def _prefix(lab: Path) -> str:
    return f"vmferry-{hashlib.sha256(str(lab).encode()).hexdigest()[:8]}-"


def _run(command: Sequence[str]) -> None:
    program = shutil.which(command[0], path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        raise LabError(f"{command[0]} is not installed; run lab/system-packages")
    done = subprocess.run(
        [program, *command[1:]], capture_output=True, text=True, timeout=_TIMEOUT, check=False
    )
    if done.returncode != 0:
        raise LabError(f"{' '.join(command)}: {done.stderr.strip() or f'exit code {done.returncode}'}")
