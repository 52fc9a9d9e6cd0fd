"""A host's libvirt daemon: where its program is, and when it is ready."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import libvirt
import psutil

from vmferry_lab import processes
from vmferry_lab.errors import LabError

READY_TIMEOUT = 30.0


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """The daemon of a host."""

    host: str
    """The host's name."""
    uri: str
    logs: Sequence[Path]

    def wait_ready(self, process: psutil.Process) -> None:
        """Wait until it answers, and knows what QEMU can do.

        Raises:
            LabError: It ends, or does not answer; with the end of its logs.
        """
        libvirt.registerErrorHandler(lambda *_: None, None)
        name = f"libvirtd of {self.host}"
        processes.wait_ready(name, process, self._answers, timeout=READY_TIMEOUT, logs=self.logs)
        self._probe_qemu()

    def _answers(self) -> bool:
        try:
            libvirt.open(self.uri).close()
        except libvirt.libvirtError:
            return False
        return True

    def _probe_qemu(self) -> None:
        """Let the daemon learn what QEMU can do: 1.4 s, once per host, which the first guest need not wait for."""
        try:
            connection = libvirt.open(self.uri)
            connection.getDomainCapabilities(None, "x86_64", "pc", "qemu")
            connection.close()
        except libvirt.libvirtError as error:
            said = f"libvirtd of {self.host} can't use QEMU (lab/system-packages installs it): {error}"
            raise LabError("\n".join([said, *map(processes.tail, self.logs)])) from error


def libvirtd() -> str:
    """The program.

    Raises:
        LabError: It is not installed.
    """
    found = shutil.which("libvirtd", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        raise LabError("libvirtd is not installed; run lab/system-packages")
    return found
