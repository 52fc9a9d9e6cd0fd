"""What the hosts of a lab have left running, found without any record of what was started."""

import re
from pathlib import Path

import psutil

_PROGRAMS = ("libvirtd", "qemu-system-")


def strays(lab: Path) -> list[psutil.Process]:
    """The libvirt daemons and the QEMUs of a lab, daemons first, so that these don't see their guests die.

    They are known by the files of the lab that their command lines name: libvirt gives QEMU an environment of its
    own, without the lab's mark. That also finds the QEMUs by which a daemon probes what QEMU can do.
    """
    return sorted(users_of(lab / "hosts"), key=lambda process: _program(process) != "libvirtd")


def users_of(directory: Path) -> list[psutil.Process]:
    """The libvirt daemons and the QEMUs whose command lines name a file below a directory."""
    below = re.compile(rf"(?<![\w./-]){re.escape(str(directory))}/")
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if _program(process).startswith(_PROGRAMS)
        and any(below.search(word) for word in process.info["cmdline"])
    ]


def _program(process: psutil.Process) -> str:
    words = process.info["cmdline"] or [""]
    return Path(words[0]).name
