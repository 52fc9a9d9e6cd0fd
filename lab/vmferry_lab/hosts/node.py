"""Hosts with root: each in namespaces of its own, with a system-mode libvirt daemon and real links."""

import os
import shutil
import signal
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from typing_extensions import override

from vmferry_lab import processes
from vmferry_lab.controlplane.certificates import Authority
from vmferry_lab.errors import LabError
from vmferry_lab.hosts import node_files
from vmferry_lab.hosts.daemon import Daemon, libvirtd
from vmferry_lab.hosts.faults import Faults
from vmferry_lab.hosts.host import Host, LocalDisks, PostCopy
from vmferry_lab.hosts.networks import Network, claim_network
from vmferry_lab.hosts.privileges import post_copy
from vmferry_lab.hosts.strays import HOST, users_in

MOUNT_TIMEOUT = 20.0
_FIRST_PROCESS = Path(__file__).parent / "node.sh"
_HIDDEN = Path("/run")
"""A node has its own: what of the machine is below that, it does not see."""
_SOCKET = _HIDDEN / "libvirt" / "libvirt-sock"
_READY = _HIDDEN / "ready"
"""Made by the first process when all is mounted."""
_DAEMON = "libvirtd-"
_OWN = {
    "etc": node_files.CONFIGURATION,
    **{name: Path("/var", name, "libvirt") for name in ("lib", "cache", "log")},
}
"""The directories of its libvirt, and where it sees them."""
_NAMESPACES = ("--mount", "--pid", "--net", "--uts")


@dataclass
class NodeHost(Faults, Host):
    """A host of its own as far as the kernel lets one: network, mounts, processes, name. Needs root.

    Its files lie in the lab's directory, so that what a disk would keep outlives a power cycle.

    Args:
        name: The node's name.
        network: The lab's, which has the node.
        rate: What each direction of its data link carries, in bytes per second; None: all that the machine can.
    """

    name: str
    network: Network
    rate: int | None = None

    @property
    def _lab(self) -> Path:
        return self.network.lab

    @property
    def directory(self) -> Path:
        """Its files, as seen from here."""
        return self._lab / "hosts" / self.name

    @property
    @override
    def uri(self) -> str:
        return f"qemu+unix:///system?socket={_seen_from_here(self.first_process, _SOCKET)}"

    @property
    @override
    def own_uri(self) -> str:
        return "qemu:///system"

    @property
    @override
    def connect_uri(self) -> str:
        return f"qemu+tls://{self.network.data_address(self.name)}/system"

    @property
    def plain_connect_uri(self) -> str:
        """As `connect_uri`, not encrypted."""
        return f"qemu+tcp://{self.network.data_address(self.name)}/system"

    @property
    @override
    def migration_uri(self) -> str:
        return f"tcp://{self.network.data_address(self.name)}"

    @property
    @override
    def health_address(self) -> str:
        return str(self.network.control_address(self.name))

    @property
    @override
    def log(self) -> Path:
        return self.directory / "log" / "libvirtd.log"

    @property
    def certificates(self) -> Path:
        """Its /etc/pki as seen from here."""
        return self.directory / node_files.CERTIFICATES.name

    @property
    @override
    def post_copy(self) -> PostCopy:
        return post_copy("QEMU is root and keeps CAP_SYS_PTRACE")

    @property
    @override
    def local_disks(self) -> LocalDisks:
        seen_here = self.directory / "lib" / node_files.IMAGES.name
        return LocalDisks(pool=node_files.POOL, path=node_files.IMAGES, seen_here=seen_here)

    @override
    def command(self) -> list[str]:
        return ["nsenter", "--target", str(self.first_process.pid), *_NAMESPACES]

    @property
    @override
    def first_process(self) -> psutil.Process:
        found = processes.of_component(self._lab, HOST + self.name)
        if not found:
            raise LabError(f"{self.name} is powered off")
        return found[0]

    @property
    @override
    def daemons(self) -> list[psutil.Process]:
        return processes.of_component(self._lab, self._daemon)

    @property
    def is_on(self) -> bool:
        """Whether it has power."""
        return bool(processes.of_component(self._lab, HOST + self.name))

    @property
    def state(self) -> str:
        """Its address, and what has been done to it, in words."""
        address = f"node, {self.network.data_address(self.name)}"
        return ", ".join([address, *(self.faults() if self.is_on else ["powered off"])])

    @override
    def start(self) -> None:
        """Power it on and start the daemon, whichever does not run.

        Raises:
            LabError: It does not come up.
        """
        if not self.is_on:
            self._power_on()
        running = self.daemons
        self._wait_ready(running[0] if running else self._start_daemon())

    @override
    def kill_daemon(self) -> None:
        """Kill the daemon (SIGKILL); guests run on."""
        processes.stop(self.daemons, how=signal.SIGKILL)

    def restore(self) -> None:
        """Take back whatever was done to it.

        Raises:
            LabError: It does not come up.
        """
        if self.is_on and self.daemons:
            self.thaw_daemon()
        self.start()
        self.heal()
        self.heal_control_link()
        self.unshape()

    @override
    def stop(self) -> None:
        """Power it off, unless it is."""
        if self.is_on:
            self.power_off(silent=False)

    def guests(self) -> list[psutil.Process]:
        """Its QEMUs."""
        return users_in(self.first_process)

    def _power_on(self) -> None:
        first = processes.start(
            HOST + self.name,
            ["bash", _FIRST_PROCESS, self._lab, self.name],
            lab=self._lab,
            log=self._output(HOST),
            through=["unshare", *_NAMESPACES],
        )
        ready = _seen_from_here(first, _READY)
        logs = [self._output(HOST)]
        processes.wait_ready(self.name, first, ready.exists, timeout=MOUNT_TIMEOUT, logs=logs)
        self.network.connect(self.name, first.pid)
        if self.rate is not None:
            self.shape(self.rate)

    def _start_daemon(self) -> psutil.Process:
        return processes.start(
            self._daemon,
            [libvirtd(), "--listen", "--timeout", "0"],
            lab=self._lab,
            log=self._output(_DAEMON),
            through=self.command(),
            environment={"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "LANG": "C.UTF-8", "HOME": "/root"},
        )

    def _wait_ready(self, process: psutil.Process) -> None:
        Daemon(host=self.name, uri=self.uri, logs=[self._output(_DAEMON), self.log]).wait_ready(process)

    @property
    def _daemon(self) -> str:
        return _DAEMON + self.name

    def _output(self, kind: str) -> Path:
        return self._lab / "logs" / f"{kind}{self.name}.log"


def new_nodes(
    lab: Path, names: Sequence[str], rate: int | None = None, kind: type[NodeHost] = NodeHost
) -> list[NodeHost]:
    """Nodes with new identities and certificates on new networks; nothing of them runs yet.

    Args:
        lab: The lab's directory.
        names: Theirs.
        rate: As NodeHost's.
        kind: The class of which each becomes one.

    Raises:
        LabError: The networks can't be made.
    """
    if lab.resolve().is_relative_to(_HIDDEN):
        raise LabError(f"{lab} is below {_HIDDEN}, of which each node has its own; take another one (--dir)")
    network = claim_network(lab, names)
    authority = Authority(lab / "certificates" / "hosts")
    for name in names:
        _prepare(lab / "hosts" / name, network, name, authority)
    return [kind(name, network, rate) for name in names]


def bind(directory: Path, places: Mapping[str, Path]) -> None:
    """Have a node that starts from now on see what lies in its directory elsewhere, too.

    Args:
        directory: The node's.
        places: Where it sees what: a path in its directory, and one of its own.
    """
    with (directory / "binds").open("a") as table:
        table.write(node_files.binds_table({directory / own: seen for own, seen in places.items()}))


def _prepare(directory: Path, network: Network, name: str, authority: Authority) -> None:
    address = network.data_address(name)
    shutil.rmtree(directory, ignore_errors=True)  # of a lab that has ended without `down`
    for each in ("etc/storage/autostart", "lib/images", "cache", "log"):
        (directory / each).mkdir(parents=True)
    bind(directory, {**_OWN, node_files.CERTIFICATES.name: node_files.CERTIFICATES})
    (directory / "hosts").write_text(
        node_files.hosts_file({node: network.data_address(node) for node in network.nodes})
    )
    etc = directory / "etc"
    (etc / "libvirtd.conf").write_text(node_files.libvirtd_conf(address=address, identity=uuid.uuid4()))
    (etc / "qemu.conf").write_text(node_files.qemu_conf(address=address))
    pool = Path("storage") / f"{node_files.POOL}.xml"
    (etc / pool).write_text(node_files.pool_xml())
    (etc / "storage" / "autostart" / pool.name).symlink_to(node_files.CONFIGURATION / pool)
    own = authority.for_host(name, [str(address)])
    node_files.install_certificates(
        directory / node_files.CERTIFICATES.name,
        authorities=authority.files.certificate.read_bytes(),
        certificate=own.certificate.read_bytes(),
        key=own.key.read_bytes(),
    )


def _seen_from_here(process: psutil.Process, path: Path) -> Path:
    """A file of a process' mount namespace, as other processes of the machine reach it (proc(5))."""
    return Path("/proc", str(process.pid), "root") / path.relative_to("/")
