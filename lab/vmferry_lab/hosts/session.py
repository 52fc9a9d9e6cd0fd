"""Hosts without root: each a session-mode libvirt daemon with directories, identity and ports of its own."""

import os
import signal
import uuid
from dataclasses import dataclass
from pathlib import Path

import psutil
from typing_extensions import override

from vmferry_lab import processes
from vmferry_lab.errors import LabError
from vmferry_lab.hosts import migration_ports
from vmferry_lab.hosts.daemon import Daemon, libvirtd
from vmferry_lab.hosts.host import Host, PostCopy
from vmferry_lab.hosts.links import Link
from vmferry_lab.hosts.machine_lock import one_at_a_time
from vmferry_lab.hosts.privileges import can_grant_ptrace, give_away, post_copy, unprivileged_command
from vmferry_lab.hosts.strays import is_qemu, users_of

_LONGEST_SOCKET = 107
"""Bytes that Linux takes for the path of a Unix socket."""
_LONGEST_BELOW_HOST = "/config/libvirt/qemu/lib/domain-99-xxxxxxxxxxxxxxxxxxxx/monitor.sock"


@dataclass
class SessionHost(Host):
    """A session-mode libvirt daemon.

    Run by root, it becomes the user nobody. Post-copy needs userfaultfd, which the kernel grants to a process with
    CAP_SYS_PTRACE: the daemon gets that as an ambient capability, and `clear_emulator_capabilities = 0` lets QEMU
    inherit it; nothing of the machine is changed. `post_copy` tells where that is not possible.

    Name, directory and link are all there is to know: another process that has them has the same host.

    Args:
        name: The node's name.
        lab: The lab's directory.
        link: What joins it to another host; None: the machine's own loopback.
    """

    name: str
    lab: Path
    link: Link | None = None

    @property
    def _directory(self) -> Path:
        return self.lab / "hosts" / self.name

    @property
    def _socket(self) -> Path:
        return self._directory / "run" / "libvirt-sock"

    @property
    @override
    def uri(self) -> str:
        return f"qemu+unix:///session?socket={self._socket}"

    @property
    @override
    def own_uri(self) -> str:
        return self.uri

    @property
    @override
    def connect_uri(self) -> str:
        return self.uri

    @property
    @override
    def migration_uri(self) -> str:
        return "tcp://127.0.0.1"

    @property
    @override
    def health_address(self) -> str:
        return "127.0.0.1"

    @property
    @override
    def log(self) -> Path:
        return self._directory / "libvirtd.log"

    @property
    @override
    def post_copy(self) -> PostCopy:
        return post_copy()

    @property
    @override
    def local_disks(self) -> None:
        return None

    @override
    def command(self) -> list[str]:
        return []

    @override
    def start(self) -> None:
        """Start the daemon unless it runs; on the first time, with a new identity.

        Raises:
            LabError: It does not come up.
        """
        self._check_length()
        if running := processes.of_component(self.lab, self._component):
            self._wait_ready(running[0])
            return
        with one_at_a_time():
            if self.link is not None:
                self.link.create()
            if not self._configuration.exists():
                self._prepare()
            daemon = self._start_daemon()
        self._wait_ready(daemon)

    @override
    def kill_daemon(self) -> None:
        """Kill the daemon (SIGKILL); guests run on."""
        processes.stop(processes.of_component(self.lab, self._component), how=signal.SIGKILL)

    @override
    def stop(self) -> None:
        """Stop the daemon and every guest."""
        self.kill_daemon()
        processes.stop(guests_of(self._directory), how=signal.SIGKILL)

    def _start_daemon(self) -> psutil.Process:
        self._socket.unlink(missing_ok=True)
        options: list[str | Path] = ["--config", self._configuration, "--timeout", "0"]
        options += ["--pid-file", self._directory / "run" / "libvirtd.pid"]
        return processes.start(
            self._component,
            [*(self.link.command() if self.link else []), *unprivileged_command(), libvirtd(), *options],
            lab=self.lab,
            log=self._output,
            environment=self._environment(),
        )

    @property
    def _configuration(self) -> Path:
        return self._directory / "libvirtd.conf"

    @property
    def _output(self) -> Path:
        return self.lab / "logs" / f"{self._component}.log"

    @property
    def _component(self) -> str:
        return f"libvirtd-{self.name}"

    def _check_length(self) -> None:
        longest = len(os.fsencode(self._directory)) + len(_LONGEST_BELOW_HOST)
        if longest > _LONGEST_SOCKET:
            raise LabError(
                f"{self.lab} is too long a path: QEMU's sockets below it would exceed {_LONGEST_SOCKET} bytes; "
                f"take one that is {longest - _LONGEST_SOCKET} shorter (--dir)"
            )

    def _prepare(self) -> None:
        for name in ("home", "run", "config/libvirt", "cache", "data"):
            (self._directory / name).mkdir(parents=True, exist_ok=True)
        ports = migration_ports.unclaimed_block(self._directory.parent)
        self._directory.parent.chmod(0o711)  # nobody must get through
        self._configuration.write_text(
            f'unix_sock_dir = "{self._socket.parent}"\n'
            f'host_uuid = "{uuid.uuid4()}"\n'
            f'log_outputs = "2:file:{self.log}"\n'
            "max_clients = 200\n"
        )
        (self._directory / migration_ports.QEMU_CONF).write_text(
            'stdio_handler = "file"\n'
            'security_driver = "none"\n'
            f"migration_port_min = {ports.start}\n"
            f"migration_port_max = {ports.stop - 1}\n"
            f"clear_emulator_capabilities = {0 if can_grant_ptrace() else 1}\n"
        )
        (self._directory / "run").chmod(0o700)
        give_away(self._directory)

    def _environment(self) -> dict[str, str]:
        directory = self._directory
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(directory / "home"),
            "XDG_RUNTIME_DIR": str(directory / "run"),
            "XDG_CONFIG_HOME": str(directory / "config"),
            "XDG_CACHE_HOME": str(directory / "cache"),
            "XDG_DATA_HOME": str(directory / "data"),
        }

    def _wait_ready(self, process: psutil.Process) -> None:
        Daemon(host=self.name, uri=self.uri, logs=[self._output, self.log]).wait_ready(process)


def guests_of(directory: Path) -> list[psutil.Process]:
    """The QEMU processes whose files lie in a directory: libvirt gives them no environment to be known by."""
    return [process for process in users_of(directory) if is_qemu(process)]
