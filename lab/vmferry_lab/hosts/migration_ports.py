"""Which ports the hosts' QEMUs listen on for migrations: blocks that no other host of the machine has."""

import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from vmferry_lab.errors import LabError
from vmferry_lab.ports import free_block
from vmferry_lab.until import until

BLOCK = 20
"""Ports of a host: as many migrations can come in at once."""
LOCK_TIMEOUT = 30.0
"""Seconds to wait for other hosts that start at the same time."""
QEMU_CONF = Path("config/libvirt/qemu.conf")
"""The file that says a host's block, below the host's directory."""
_ATTEMPTS = 100


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold off all other hosts of this machine that start, until this one's block is known.

    Nobody listens on a block before a migration comes in, so that probing alone would give one block twice.

    Raises:
        LabError: Another holds it for too long.
    """
    directory = os.open(tempfile.gettempdir(), os.O_RDONLY)  # the lock of a directory leaves no file behind
    try:
        until("the other hosts that start", lambda: _locked(directory), timeout=LOCK_TIMEOUT)
        yield
    except TimeoutError as error:
        raise LabError(f"{error}; see who holds {tempfile.gettempdir()} (lslocks)") from error
    finally:
        os.close(directory)


def unclaimed_block(hosts: Path) -> range:
    """A block that is free and that no host has; to be called by who holds the lock.

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


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
