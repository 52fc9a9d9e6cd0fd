"""What the hosts of a lab have left running, found without any record of what was started."""

import re
from pathlib import Path

import psutil

from vmferry_lab import processes

HOST = "host-"
"""Before a node's name: the first process of its namespaces."""
_PROGRAMS = ("libvirtd", "qemu-system-")


def strays(lab: Path) -> list[psutil.Process]:
    """The libvirt daemons and the QEMUs of a lab, daemons first, so that these don't see their guests die.

    libvirt gives QEMU an environment of its own, without the lab's mark. So those of session hosts are known by
    the files of the lab that their command lines name, which also finds the QEMUs by which a daemon probes what
    QEMU can do; those of nodes by the node that they are in.
    """
    firsts = [each for each in processes.of_lab(lab) if processes.component_of(each).startswith(HOST)]
    found = {*users_of(lab / "hosts"), *(user for first in firsts for user in users_in(first))}
    return sorted(found, key=lambda process: (_program(process) != "libvirtd", process.pid))


def users_of(directory: Path) -> list[psutil.Process]:
    """The libvirt daemons and the QEMUs whose command lines name a file below a directory."""
    below = re.compile(rf"(?<![\w./-]){re.escape(str(directory))}/")
    return [each for each in _programs() if any(below.search(word) for word in each.info["cmdline"])]


def users_in(first: psutil.Process) -> list[psutil.Process]:
    """The libvirt daemons and the QEMUs in a process' PID namespace."""
    namespace = _namespace(first)
    return [each for each in _programs() if namespace is not None and _namespace(each) == namespace]


def is_qemu(process: psutil.Process) -> bool:
    """Whether one of those is a QEMU."""
    return _program(process).startswith("qemu-system-")


def _programs() -> list[psutil.Process]:
    several = psutil.process_iter(["cmdline"])
    return [process for process in several if _program(process).startswith(_PROGRAMS)]


def _program(process: psutil.Process) -> str:
    words = process.info["cmdline"] or [""]
    return Path(words[0]).name


def _namespace(process: psutil.Process) -> Path | None:
    try:
        return Path(f"/proc/{process.pid}/ns/pid").readlink()
    except OSError:  # it has ended
        return None
