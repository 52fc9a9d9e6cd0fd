"""Which ports the hosts' QEMUs listen on for migrations: blocks that no other host of the machine has."""

import re
from collections.abc import Iterator
from pathlib import Path

import psutil

from vmferry_lab.errors import LabError
from vmferry_lab.ports import free_block

BLOCK = 20
"""Ports of a host: as many migrations can come in at once."""
QEMU_CONF = Path("config/libvirt/qemu.conf")
"""The file that says a host's block, below the host's directory."""
_ATTEMPTS = 100


def unclaimed_block(hosts: Path) -> range:
    """A block that is free and that no host has; to be called by who holds the machine's lock.

    Args:
        hosts: Where the directories of the lab's own hosts are; these count even when their daemons are down.

    Raises:
        LabError: There is none.
    """
    directories = {*_of_running_daemons(), *hosts.glob("*/")}
    taken = {start for each in directories if (start := _first_port(each / QEMU_CONF)) is not None}
    for _ in range(_ATTEMPTS):
        block = free_block(BLOCK)
        if block.start not in taken:
            return block
    raise LabError(f"no {BLOCK} ports in a row for migrations: {len(taken)} hosts have theirs already")


def _of_running_daemons() -> Iterator[Path]:
    for process in psutil.process_iter(["cmdline"]):
        for word in process.info["cmdline"] or ():
            if word.endswith("/libvirtd.conf"):
                yield Path(word).parent


def _first_port(configuration: Path) -> int | None:
    try:
        found = re.search(r"^migration_port_min = (\d+)$", configuration.read_text(), re.MULTILINE)
    except OSError:  # no lab's host, or another user's
        return None
    return int(found[1]) if found else None
