"""A lab: a control plane, hosts, vmferry, guests, in one directory."""

import json
import shutil
import signal
import string
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmferry_lab import directories, processes
from vmferry_lab.cache import Say
from vmferry_lab.cluster import cgroups
from vmferry_lab.cluster.binaries import find_or_build_cluster
from vmferry_lab.cluster.cluster import Cluster
from vmferry_lab.cluster.node import ClusterNode, Service
from vmferry_lab.cluster.pods import Pods
from vmferry_lab.components import OPERATOR_NAME, Components, agent_name
from vmferry_lab.controlplane.binaries import Binaries, find_or_build
from vmferry_lab.controlplane.control_plane import LOOPBACK, ControlPlane, PodsPlan
from vmferry_lab.directories import MANIFESTS
from vmferry_lab.errors import LabError
from vmferry_lab.guests.guest import Guest, guests_in
from vmferry_lab.hosts.host import Host
from vmferry_lab.hosts.kinds import (
    Choice,
    HostsKind,
    api_address,
    default_kind,
    new_hosts,
    record_of,
    recorded_hosts,
)
from vmferry_lab.hosts.networks import remove_networks
from vmferry_lab.hosts.node import NodeHost
from vmferry_lab.hosts.strays import strays
from vmferry_lab.invocation import command_line
from vmferry_lab.kubectl import Kubectl, KubectlError
from vmferry_lab.until import until

DEFAULT_HOSTS = 2
MOST_HOSTS = 26
_RECORD = "lab.json"
"""Written when the lab is up."""
_DAEMON = "libvirtd-"
"""Before a host's name: its daemon's."""
_KINDS = {"migrationpolicies.vmferry.io", "vmmigrations.vmferry.io"}
_KNOWN_TIMEOUT = 30.0
"""Seconds in which the API server must tell of the kinds that it serves."""


@dataclass(frozen=True)
class Lab:
    """A lab in a directory; all that is known of it is found there and in the table of processes."""

    directory: Path

    def __post_init__(self) -> None:
        # by its name its processes are found, so that it must have one name
        object.__setattr__(self, "directory", self.directory.resolve())

    @property
    def control_plane(self) -> ControlPlane:
        """Its control plane."""
        return ControlPlane(self.directory)

    @property
    def kubectl(self) -> Kubectl:
        """Kubectl as the cluster's administrator."""
        return Kubectl(self.control_plane.kubeconfig())

    @property
    def hosts(self) -> list[Host]:
        """Its hosts.

        Raises:
            LabError: The lab is not up.
        """
        return recorded_hosts(self.directory, self._record())

    @property
    def kind(self) -> HostsKind:
        """What its hosts are.

        Raises:
            LabError: The lab is not up.
        """
        return HostsKind(self._record()["kind"])

    def host(self, name: str) -> Host:
        """One host by its name."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise LabError(f"there is no host {name}; there are: {', '.join(host.name for host in self.hosts)}")

    def node(self, name: str) -> NodeHost:
        """One host by its name, with links that can be cut, and power that can be lost.

        Raises:
            LabError: There is none, or the hosts are of the other kind.
        """
        host = self.host(name)
        if not isinstance(host, NodeHost):
            up = command_line(self.directory, "up", "--hosts-kind", HostsKind.NODE)
            raise LabError(f"{name} has no link and no power of its own; as root bring a lab up by `{up}`")
        return host

    @property
    def process_states(self) -> dict[str, bool]:
        """Its processes but for the guests, by name: whether each runs."""
        running = processes.components_of(self.directory)
        daemons = [_daemon_name(host) for host in self.hosts]
        found = {name: name in running for name in (*self.control_plane.names, *daemons)}
        if self.kind is HostsKind.CLUSTER:
            return found | self.cluster.service_states
        return found | {name: name in running for name in self.components.names}

    @property
    def components(self) -> Components:
        """The operator and the agents, where they are processes.

        Raises:
            LabError: They are pods.
        """
        if self.kind is HostsKind.CLUSTER:
            raise LabError("operator and agents are pods here: kubectl -n vmferry-system get pods")
        return Components(self.directory, self.control_plane, self.hosts)

    @property
    def cluster(self) -> Cluster:
        """What runs pods.

        Raises:
            LabError: The lab's hosts are of another kind.
        """
        nodes = [host for host in self.hosts if isinstance(host, ClusterNode)]
        if self.kind is not HostsKind.CLUSTER:
            up = command_line(self.directory, "cluster", "up")
            raise LabError(f"the hosts of {self.directory} run no pods; as root bring a lab up by `{up}`")
        return Cluster(self.directory, self.control_plane, nodes)

    @property
    def guests(self) -> list[Guest]:
        """Its guests."""
        return guests_in(self.directory)

    def guest(self, name: str) -> Guest:
        """A guest by its name, whether it exists or not."""
        return Guest(name, self.directory)

    @property
    def is_up(self) -> bool:
        """Whether `up` has come to its end here."""
        return (self.directory / _RECORD).exists() and bool(processes.of_lab(self.directory))

    def up(
        self,
        *,
        hosts: int | None = None,
        kind: HostsKind | None = None,
        link: int | None = None,
        say: Say = print,
        components: bool = True,
        pods: Pods | None = None,
    ) -> None:
        """Bring it up: control plane and hosts at the same time, then vmferry.

        What is up already is left as it is, and what of it does not run any more is started.

        Args:
            hosts: How many; None: as many as it has, or two.
            kind: What they are; None: as it has, or nodes where these can be had.
            link: The rate in bytes per second: of each direction of each node's data link; or of the links that
                join session hosts in pairs, the first with the second and so on. None: as fast as the machine is.
            say: Tells how it goes.
            components: Whether to start vmferry.
            pods: What runs in the pods of nodes that run some; None: the shipped images by the overlay `ha`.

        Raises:
            LabError: It is up with other hosts or links, hosts of that kind can't be had, or something does not
                start; what did is for `down`.
        """
        began = time.monotonic()
        names = _node_names(DEFAULT_HOSTS if hosts is None else hosts)
        binaries = find_or_build(say)
        directories.prepare(self.directory)
        with directories.alone(self.directory):
            if self.is_up:
                self._check_same(None if hosts is None else names, kind, link)
                self._start_missing(say, components=components)
                return
            chosen = default_kind() if kind is None else Choice(kind=kind, why="as asked for")
            say(f"hosts of kind {chosen.kind}: {chosen.why}")
            if chosen.kind is HostsKind.CLUSTER:
                self._start_cluster(names, binaries, link, pods or Pods.shipped(components=components), say)
            else:
                self._start(names, binaries, chosen.kind, link)
            say(f"control plane and {', '.join(names)}: up after {time.monotonic() - began:.1f} s")
            if components and chosen.kind is HostsKind.CLUSTER:
                self.cluster.wait_components()
                say(f"vmferry: ready after {time.monotonic() - began:.1f} s")
            elif components:
                self.components.start_all()
                say(f"vmferry: started after {time.monotonic() - began:.1f} s")

    def up_control_plane(self, *, say: Say = print) -> None:
        """Bring up the control plane alone, with vmferry's API, without hosts."""
        binaries = find_or_build(say)
        directories.prepare(self.directory)
        with directories.alone(self.directory):
            self._start([], binaries, HostsKind.SESSION)

    def down(self) -> None:
        """Stop everything and remove the directory; also after a crash of whatever brought it up.

        Raises:
            LabError: The directory is none of a lab, or something is being done to the lab just now.
        """
        if not self.directory.exists():
            self._kill_all()
            return
        directories.check(self.directory)
        with directories.alone(self.directory):
            self._kill_all()
            shutil.rmtree(self.directory)

    def start(self, name: str) -> None:
        """Start one process that does not run: a server, a host's libvirtd, the operator or an agent.

        Raises:
            LabError: There is none of that name, or it does not start.
        """
        if name in self.control_plane.names:
            self.control_plane.start_missing([name])
        elif service := self._service(name):
            self._start_service(*service)
        elif name.startswith(_DAEMON):
            self.host(name.removeprefix(_DAEMON)).start()
        else:
            self.components.start(name)

    def power_on(self, name: str) -> None:
        """Give a node power again; its agent starts with it where vmferry runs.

        Raises:
            LabError: It does not come up.
        """
        node = self.node(name)
        node.start()
        if isinstance(node, ClusterNode):
            node.join(self.control_plane)
        elif self.components.runs(OPERATOR_NAME):
            self.components.start(agent_name(name))

    def stop(self, name: str, *, kill: bool = False) -> None:
        """Stop one process, by SIGTERM or SIGKILL; a node's always by SIGKILL: guests and containers run on.

        Raises:
            LabError: There is none of that name.
        """
        if name in self.control_plane.names:
            self.control_plane.stop([name], how=signal.SIGKILL if kill else signal.SIGTERM)
        elif service := self._service(name):
            service[0].kill_service(service[1])
        elif name.startswith(_DAEMON):
            self.host(name.removeprefix(_DAEMON)).kill_daemon()
        else:
            self.components.stop(name, kill=kill)

    def _kill_all(self) -> None:
        """Nothing of it is worth saving."""
        processes.kill_all(
            f"processes of {self.directory}",
            lambda: list({*processes.of_lab(self.directory), *strays(self.directory)}),
        )
        remove_networks(self.directory)
        cgroups.remove_all(self.directory)

    def _service(self, name: str) -> tuple[ClusterNode, Service] | None:
        """The service of a node that runs pods."""
        return self.cluster.service(name) if self.kind is HostsKind.CLUSTER else None

    def _start_service(self, node: ClusterNode, service: Service) -> None:
        if service is Service.KUBELET:
            node.join(self.control_plane)
        else:
            node.start_service(service)

    def _start(self, nodes: list[str], binaries: Binaries, kind: HostsKind, link: int | None = None) -> None:
        hosts = self._new_hosts(nodes, kind, link)
        with ThreadPoolExecutor() as pool:
            starts = [pool.submit(host.start) for host in hosts]
            starts.append(pool.submit(self._start_control_plane, binaries, hosts))
        _raise_first_error(starts)
        (self.directory / _RECORD).write_text(json.dumps(record_of(hosts, kind, link)))

    def _start_cluster(
        self, names: list[str], binaries: Binaries, link: int | None, pods: Pods, say: Say
    ) -> None:
        """Start a lab whose nodes run pods: images come to the nodes while the API server starts."""
        programs = find_or_build_cluster(say)
        hosts = self._new_hosts(names, HostsKind.CLUSTER, link)
        nodes = [host for host in hosts if isinstance(host, ClusterNode)]
        cluster = Cluster(self.directory, self.control_plane, nodes)
        plan = PodsPlan(scheduler=programs.scheduler, nodes=names)
        manifests = pods.write(self.directory / "manifests")
        with ThreadPoolExecutor() as pool:
            starts = [
                pool.submit(cluster.start_nodes, pods.archives, programs, say),
                pool.submit(self._start_control_plane, binaries, hosts, plan, manifests),
            ]
        _raise_first_error(starts)
        cluster.join(say)
        (self.directory / _RECORD).write_text(json.dumps(record_of(hosts, HostsKind.CLUSTER, link)))

    def _new_hosts(self, names: list[str], kind: HostsKind, link: int | None) -> list[Host]:
        if processes.of_lab(self.directory):
            down = command_line(self.directory, "down")
            raise LabError(f"{self.directory}: a lab is there already; run `{down}` first")
        (self.directory / _RECORD).unlink(missing_ok=True)  # of a lab that has ended, by a reboot say
        (self.directory / "guests").mkdir(exist_ok=True)
        return new_hosts(self.directory, names, kind, link)

    def _check_same(self, names: list[str] | None, kind: HostsKind | None, link: int | None) -> None:
        """See that the lab that is up is the one that is wanted."""
        record = self._record()
        wanted = {"hosts": names, "kind": kind, "link": link}
        if any(value is not None and value != record[key] for key, value in wanted.items()):
            joined = f", joined at {record['link']} bytes per second" if record["link"] else ""
            raise LabError(
                f"{self.directory}: a lab is up there already, with {', '.join(record['hosts']) or 'no hosts'}"
                f" ({record['kind']} hosts{joined}); run `{command_line(self.directory, 'down')}` first, "
                "or take another directory (--dir)"
            )

    def _start_missing(self, say: Say, *, components: bool) -> None:
        started = self.control_plane.start_missing()
        cluster = self.kind is HostsKind.CLUSTER
        wanted = self.components.names if components and not cluster else []
        for name, runs in self.process_states.items():
            if not runs and (name in wanted or name.startswith(_DAEMON) or self._service(name)):
                self.start(name)
                started.append(name)
        say(f"{self.directory}: already up" + (f"; started {', '.join(started)}" if started else ""))

    def _start_control_plane(
        self,
        binaries: Binaries,
        hosts: list[Host],
        pods: PodsPlan | None = None,
        manifests: Path = MANIFESTS / "base",
    ) -> None:
        self.control_plane.start(binaries, api_address(hosts) or LOOPBACK, pods)
        self.kubectl.run("apply", "--server-side", "-k", str(manifests))
        if hosts and pods is None:  # where there are kubelets, these make them
            nodes = [{"apiVersion": "v1", "kind": "Node", "metadata": {"name": host.name}} for host in hosts]
            self.kubectl.apply(*nodes)
        if pods is None:
            self.control_plane.admit([host.name for host in hosts])
        # "Established" says that it serves them, not that kubectl finds them yet
        until("the API's kinds to be known", self._knows_the_kinds, timeout=_KNOWN_TIMEOUT)
        self.kubectl.run("apply", "--server-side", "-k", str(MANIFESTS / "policies"))

    def _knows_the_kinds(self) -> bool:
        try:
            said = self.kubectl.run("api-resources", "--api-group=vmferry.io", "-o", "name")
        except KubectlError:
            return False
        return set(said.split()) >= _KINDS

    def _record(self) -> dict[str, Any]:
        path = self.directory / _RECORD
        if not path.exists():
            up = command_line(self.directory, "up")
            raise LabError(f"there is no lab in {self.directory}; bring one up by `{up}`")
        record: dict[str, Any] = json.loads(path.read_text())
        return record


def _daemon_name(host: Host) -> str:
    """The name of a host's libvirtd among the lab's processes."""
    return _DAEMON + host.name


def _node_names(count: int) -> list[str]:
    if not 1 <= count <= MOST_HOSTS:
        raise LabError(f"the number of hosts must be from 1 to {MOST_HOSTS}")
    return [f"node-{letter}" for letter in string.ascii_lowercase[:count]]


def _raise_first_error(futures: list[Future[None]]) -> None:
    for future in futures:
        future.result()
