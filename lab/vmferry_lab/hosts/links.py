"""Links of a given rate between two hosts of the lab: network namespaces whose loopback carries no more."""

from dataclasses import dataclass
from pathlib import Path

from vmferry_lab.errors import LabError
from vmferry_lab.hosts import kernel_names
from vmferry_lab.hosts.commands import run
from vmferry_lab.hosts.privileges import is_root
from vmferry_lab.hosts.shaping import token_bucket

NAMESPACES = Path("/run/netns")


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
        return f"{kernel_names.namespaces(self.lab)}{self.number}"

    def create(self) -> None:
        """Make it, unless it is there.

        Raises:
            LabError: The lab is not run by root, or the kernel refuses.
        """
        if not is_root():
            raise LabError("a link of a given rate needs a network namespace, and that needs root")
        if (NAMESPACES / self.name).exists():
            return
        run(["ip", "netns", "add", self.name])
        run(["ip", "-n", self.name, "link", "set", "lo", "up"])
        run(["tc", "-n", self.name, "qdisc", "add", "dev", "lo", "root", *token_bucket(self.rate)])

    def command(self) -> list[str]:
        """The words before the command of what is to run at its ends."""
        return ["nsenter", f"--net={NAMESPACES / self.name}"]


def remove_namespaces(lab: Path) -> None:
    """Remove all network namespaces of a lab; whatever ran there has been stopped.

    Raises:
        LabError: The kernel refuses.
    """
    if not is_root() or not NAMESPACES.is_dir():
        return
    for namespace in NAMESPACES.glob(f"{kernel_names.namespaces(lab)}*"):
        run(["ip", "netns", "del", namespace.name])
