"""Hosts without root: each a session-mode libvirt daemon with directories, identity and ports of its own."""

import os
import shutil
import signal
import uuid
from dataclasses import dataclass
from pathlib import Path

import libvirt
import psutil
from typing_extensions import override

from vmferry_lab import processes
from vmferry_lab.errors import LabError
from vmferry_lab.hosts.host import Host
from vmferry_lab.ports import free_block
from vmferry_lab.until import until

READY_TIMEOUT = 30.0
MIGRATION_PORTS = 20
_NOBODY = 65534
"""What root drops to: neither daemon nor guests of the lab run as root."""
_LONGEST_SOCKET = 107
"""Bytes that Linux takes for the path of a Unix socket."""
_LONGEST_BELOW_HOST = "/config/libvirt/qemu/lib/domain-99-xxxxxxxxxxxxxxxxxxxx/monitor.sock"


@dataclass
class SessionHost(Host):
    """A session-mode libvirt daemon.

    Post-copy needs userfaultfd, which the kernel grants to a process with CAP_SYS_PTRACE: as root, the daemon gets
    it as an ambient capability and hands it on to QEMU. Without root, `vm.unprivileged_userfaultfd=1` is needed.

    Args:
        name: The node's name.
        lab: The lab's directory.
    """

    name: str
    lab: Path

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
    def connect_uri(self) -> str:
        return self.uri

    @property
    @override
    def migration_uri(self) -> str:
        return "tcp://127.0.0.1"

    @property
    @override
    def log(self) -> Path:
        return self._directory / "libvirtd.log"

    @override
    def start(self) -> None:
        """Start the daemon; on the first time, with a new identity.

        Raises:
            LabError: It does not come up.
        """
        self._check_length()
        configuration = self._directory / "libvirtd.conf"
        pid_file = self._directory / "run" / "libvirtd.pid"
        if not configuration.exists():
            self._prepare()
        self._socket.unlink(missing_ok=True)
        processes.start(
            self._component,
            [*_drop_root(), _libvirtd(), "--config", configuration, "--timeout", "0", "--pid-file", pid_file],
            lab=self.lab,
            log=self.lab / "logs" / f"{self._component}.log",
            environment=self._environment(),
        )
        self._wait_ready()

    @override
    def kill_daemon(self) -> None:
        """Kill the daemon (SIGKILL); guests run on."""
        processes.stop(processes.of_component(self.lab, self._component), how=signal.SIGKILL)

    @override
    def stop(self) -> None:
        """Stop the daemon and every guest."""
        self.kill_daemon()
        processes.stop(guests_of(self._directory), how=signal.SIGKILL)

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
        ports = free_block(MIGRATION_PORTS)
        (self._directory / "libvirtd.conf").write_text(
            f'unix_sock_dir = "{self._socket.parent}"\n'
            f'host_uuid = "{uuid.uuid4()}"\n'
            f'log_outputs = "2:file:{self.log}"\n'
            "max_clients = 200\n"
        )
        (self._directory / "config/libvirt/qemu.conf").write_text(
            'stdio_handler = "file"\n'
            'security_driver = "none"\n'
            f"migration_port_min = {ports.start}\n"
            f"migration_port_max = {ports.stop - 1}\n"
            f"clear_emulator_capabilities = {0 if os.geteuid() == 0 else 1}\n"
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

    def _wait_ready(self) -> None:
        libvirt.registerErrorHandler(lambda *_: None, None)

        def answers() -> bool:
            try:
                connection = libvirt.open(self.uri)
            except libvirt.libvirtError:
                return False
            connection.getDomainCapabilities()  # probes QEMU, once: the first guest need not wait for it
            connection.close()
            return True

        try:
            until(f"libvirtd of {self.name}", answers, timeout=READY_TIMEOUT)
        except TimeoutError as error:
            log = processes.tail(self.lab / "logs" / f"{self._component}.log")
            raise LabError(f"{error}\n{log}\n{processes.tail(self.log)}") from error


def guests_of(directory: Path) -> list[psutil.Process]:
    """The QEMU processes whose files lie in a directory: libvirt gives them no environment to be known by."""
    return [process for process in psutil.process_iter(["cmdline"]) if _is_guest_of(process, directory)]


def give_away(path: Path) -> None:
    """Let the hosts' user own a file or a directory with all that is in it."""
    if os.geteuid() != 0:
        return
    for each in (path, *path.rglob("*")):
        shutil.chown(each, _NOBODY, _NOBODY)


def _is_guest_of(process: psutil.Process, directory: Path) -> bool:
    words = process.info["cmdline"] or [""]
    return "qemu-system" in words[0] and any(f"{directory}/" in word for word in words)


def _drop_root() -> list[str]:
    if os.geteuid() != 0:
        return []
    identity = ["--reuid", str(_NOBODY), "--regid", str(_NOBODY), "--clear-groups"]
    return ["setpriv", *identity, "--inh-caps", "+sys_ptrace", "--ambient-caps", "+sys_ptrace"]


def _libvirtd() -> str:
    found = shutil.which("libvirtd", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        raise LabError("libvirtd is not installed; run lab/system-packages")
    return found
