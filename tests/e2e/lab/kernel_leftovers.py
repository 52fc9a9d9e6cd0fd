"""What the kernel still has of a lab."""

import socket
from pathlib import Path

from vmferry_lab import processes
from vmferry_lab.hosts import kernel_names
from vmferry_lab.hosts.commands import run
from vmferry_lab.hosts.strays import strays


def left_of(lab: Path) -> list[object]:
    """Interfaces, network namespaces, mounts and processes of a lab."""
    interfaces = [name for _, name in socket.if_nameindex() if name.startswith(kernel_names.interfaces(lab))]
    namespaces = [
        each for each in run(["ip", "netns"]).split() if each.startswith(kernel_names.namespaces(lab))
    ]
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(lab) in line]
    return [*interfaces, *namespaces, *mounts, *processes.of_lab(lab), *strays(lab)]
