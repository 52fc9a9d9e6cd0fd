"""A node of the cluster: a host with links and power of its own, on which containerd and a kubelet run, too."""

import json
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from typing_extensions import override

from vmferry_lab import processes
from vmferry_lab.cluster import cgroups, node_configuration
from vmferry_lab.cluster.binaries import ClusterBinaries
from vmferry_lab.cluster.pods import libvirt_group
from vmferry_lab.controlplane.commands import SERVICE_ADDRESS
from vmferry_lab.controlplane.control_plane import ControlPlane, kubelet_user
from vmferry_lab.hosts.commands import run
from vmferry_lab.hosts.networks import CONTROL
from vmferry_lab.hosts.node import NodeHost, bind

_START_TIMEOUT = 30.0
_COMMANDS = "commands.json"
"""In a node's directory: each service's command."""
_SERVICE_PORT = 443


class Service(StrEnum):
    """What runs on a node beside libvirtd; the value is the program's name, too."""

    CONTAINERD = "containerd"
    KUBELET = "kubelet"


@dataclass
class ClusterNode(NodeHost):
    """A node whose kubelet runs pods. Its address is that of its data link, where migrations go."""

    @override
    def start(self) -> None:
        """Power it on and start libvirtd and containerd, whichever does not run; `join` is what follows.

        Raises:
            LabError: It does not come up.
        """
        super().start()
        self.start_service(Service.CONTAINERD)

    def join(self, control_plane: ControlPlane) -> None:
        """Let its pods reach the API server where they look for it, and start its kubelet unless it runs.

        Raises:
            LabError: It does not start.
        """
        self.network.let_machine_reach(self.name)
        self._lead_to(control_plane.url)
        self.start_service(Service.KUBELET)

    def processes_of(self, service: Service) -> list[psutil.Process]:
        """A service's process, if it runs; not what it has started."""
        found = processes.of_component(self.network.lab, self.component(service))
        return [each for each in found if _program(each) == service]

    def component(self, service: Service) -> str:
        """A service's name among the lab's processes."""
        return f"{service}-{self.name}"

    def start_service(self, service: Service) -> None:
        """Start containerd or the kubelet, unless it runs.

        Raises:
            LabError: It does not start.
        """
        if self.processes_of(service):
            return
        commands = self._commands
        log = self.network.lab / "logs" / f"{self.component(service)}.log"
        process = processes.start(
            self.component(service),
            commands[service],
            lab=self.network.lab,
            log=log,
            through=self.command(),
            environment={
                "PATH": f"{commands['PATH'][0]}:{os.environ['PATH']}:/usr/sbin:/sbin",
                "HOME": "/root",
            },
        )
        if service is Service.CONTAINERD:
            self._wait_listening(process, log)

    def kill_service(self, service: Service) -> None:
        """Kill containerd or the kubelet (SIGKILL); the containers run on."""
        processes.stop(self.processes_of(service), how=signal.SIGKILL)

    def ctr(self, *words: str) -> str:
        """What containerd's own client says to these words, about what the kubelet sees.

        Raises:
            LabError: It fails.
        """
        address = ["--address", str(node_configuration.SOCKET), "--namespace", "k8s.io"]
        return run([*self.command(), *self._commands["ctr"], *address, *words])

    @property
    def _commands(self) -> dict[str, list[str]]:
        """Each service's, `ctr`, and the PATH of all."""
        commands: dict[str, list[str]] = json.loads((self.directory / _COMMANDS).read_text())
        return commands

    @override
    def _power_on(self) -> None:
        cgroups.create(self.network.lab, self.name)
        super()._power_on()

    def _lead_to(self, url: str) -> None:
        """Lead the API server's service address to the API server, in place of a kube-proxy."""
        machine, port = self.network.machine_address, urlsplit(url).port
        self._run(["ip", "route", "replace", f"{SERVICE_ADDRESS}/32", "via", str(machine), "dev", CONTROL])
        which = ["-d", SERVICE_ADDRESS, "-p", "tcp", "--dport", str(_SERVICE_PORT)]
        target = ["-j", "DNAT", "--to-destination", f"{machine}:{port}"]
        for chain in ("PREROUTING", "OUTPUT"):
            present = self._run(["iptables", "-w", "-t", "nat", "-S", chain])
            if SERVICE_ADDRESS not in present:
                self._run(["iptables", "-w", "-t", "nat", "-A", chain, *which, *target])

    def _wait_listening(self, process: psutil.Process, log: Path) -> None:
        socket = Path("/proc", str(self.first_process.pid), "root", *node_configuration.SOCKET.parts[1:])
        name = f"containerd of {self.name}"
        processes.wait_ready(name, process, socket.is_socket, timeout=_START_TIMEOUT, logs=[log])


def prepare(nodes: Sequence[ClusterNode], binaries: ClusterBinaries, authority: Path) -> None:
    """Give new nodes what containerd and a kubelet need; nothing runs yet.

    Args:
        nodes: The nodes, prepared as hosts.
        binaries: The programs.
        authority: The certificate of the authority whose clients the kubelets obey.
    """
    for node in nodes:
        _prepare(node, binaries, authority)


def _prepare(node: ClusterNode, binaries: ClusterBinaries, authority: Path) -> None:
    own, lab = node.directory, node.network.lab
    for each in ("containerd", "kubelet", "pods-log", "networks", "sysctls"):
        (own / each).mkdir()
    sysctls = {}
    for name, value in node_configuration.SYSCTLS.items():
        file = own / "sysctls" / name.replace("/", ".")
        file.write_text(f"{value}\n")
        sysctls[f"sysctls/{file.name}"] = Path("/proc/sys", name)
    places = {"containerd": Path("/var/lib/containerd"), "kubelet": Path("/var/lib/kubelet")}
    bind(own, {**places, "pods-log": Path("/var/log/pods"), **sysctls})
    with (own / "binds").open("a") as table:
        table.write(f"/run/cgroup {cgroups.ROOT}\n")
    configuration = own / "etc" / "qemu.conf"  # as docs/install.md has it, and no more
    os.chown(configuration, -1, libvirt_group())
    configuration.chmod(0o640)
    (own / "networks" / "pods.conflist").write_text(
        node_configuration.pod_network(node.network.data_address(node.name).packed[-1])
    )
    (own / "containerd.toml").write_text(
        node_configuration.containerd_toml(plugins=binaries.plugins, networks=own / "networks")
    )
    cgroup = cgroups.name(lab, node.name)
    (own / "kubelet.yaml").write_text(node_configuration.kubelet_yaml(authority=authority, cgroup=cgroup))
    commands = {
        "PATH": [f"{binaries.containerd.parent}:{binaries.runc.parent}"],
        "ctr": [str(binaries.ctr)],
        Service.CONTAINERD: [str(binaries.containerd), "--config", str(own / "containerd.toml")],
        Service.KUBELET: [
            str(binaries.kubelet),
            f"--config={own / 'kubelet.yaml'}",
            f"--kubeconfig={ControlPlane(lab).kubeconfig(kubelet_user(node.name))}",
            f"--hostname-override={node.name}",
            "--node-labels=vmferry.io/libvirt-host=true",
            f"--node-ip={node.network.data_address(node.name)}",
        ],
    }
    (own / _COMMANDS).write_text(json.dumps(commands, indent=1))


def _program(process: psutil.Process) -> str:
    try:
        return Path((process.cmdline() or [""])[0]).name
    except psutil.Error:
        return ""
