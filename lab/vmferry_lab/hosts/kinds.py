"""The kinds of hosts: which can be had here, and how a lab gets its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from vmferry_lab.cluster import cgroups
from vmferry_lab.cluster.node import ClusterNode
from vmferry_lab.errors import LabError
from vmferry_lab.hosts.commands import run
from vmferry_lab.hosts.host import Host
from vmferry_lab.hosts.links import Link
from vmferry_lab.hosts.networks import Network
from vmferry_lab.hosts.node import NodeHost, new_nodes
from vmferry_lab.hosts.privileges import is_root
from vmferry_lab.hosts.session import SessionHost

_TRIAL = """
mount -t tmpfs tmpfs /run
mkdir /run/upper /run/work
mount -t overlay -o lowerdir=/etc,upperdir=/run/upper,workdir=/run/work overlay /etc
ip link add name one type veth peer name two
ip link add name three type bridge
tc qdisc add dev one root tbf rate 1mbit burst 64kb latency 50ms
"""
"""What a node needs of the kernel; it leaves nothing, since all of it is in namespaces of its own."""


_POD_TRIAL = """
iptables -w -t nat -A OUTPUT -d 10.0.0.1/32 -p tcp --dport 443 -j DNAT --to-destination 192.0.2.1:443
iptables -w -t nat -A POSTROUTING -s 10.244.0.0/24 -j MASQUERADE
"""
"""What a node that runs pods needs in addition."""


class HostsKind(StrEnum):
    """What a lab's hosts are."""

    NODE = "node"
    """Each in namespaces of its own, with a system's libvirtd and links that can be cut; needs root."""
    SESSION = "session"
    """Users' daemons that meet on loopback."""
    CLUSTER = "cluster"
    """As NODE, and each runs pods by a kubelet and containerd; vmferry runs in pods of the shipped images."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A kind, and why it is the one."""

    kind: HostsKind
    why: str


def default_kind() -> Choice:
    """Nodes where they can be had."""
    try:
        check_nodes_possible()
    except LabError as error:
        return Choice(kind=HostsKind.SESSION, why=str(error))
    return Choice(kind=HostsKind.NODE, why="root may make namespaces and links")


def check_nodes_possible() -> None:
    """Try what nodes need, in a few hundredths of a second.

    Raises:
        LabError: They can't be had, and why.
    """
    if not is_root():
        raise LabError("hosts of kind node need root")
    enter = ["unshare", "--mount", "--pid", "--net", "--uts", "--fork", "--mount-proc"]
    try:
        run([*enter, "sh", "-eu"], stdin=_TRIAL)
    except LabError as error:
        raise LabError(f"hosts of kind node can't be had here: {error}") from error


def check_cluster_possible() -> None:
    """Try what nodes that run pods need.

    Raises:
        LabError: They can't be had, and why.
    """
    check_nodes_possible()
    try:
        cgroups.check_possible()
        run(["unshare", "--mount", "--net", "sh", "-eu"], stdin=_POD_TRIAL)
    except LabError as error:
        raise LabError(f"hosts of kind cluster can't be had here: {error}") from error


def new_hosts(lab: Path, names: Sequence[str], kind: HostsKind, link: int | None) -> list[Host]:
    """The hosts of a new lab; nothing of them runs yet.

    Args:
        lab: The lab's directory.
        names: Theirs.
        kind: Theirs.
        link: Bytes per second: of each direction of each node's data link; or of the links that join session hosts
            in pairs. None: not limited.

    Raises:
        LabError: There can be none of that kind.
    """
    if kind is HostsKind.NODE:
        check_nodes_possible()
        return [*new_nodes(lab, names, link)]
    if kind is HostsKind.CLUSTER:
        check_cluster_possible()
        return [*new_nodes(lab, names, link, ClusterNode)]
    return _session_hosts(lab, names, link)


def api_address(hosts: Sequence[Host]) -> str | None:
    """Where the API server must listen to be reached from hosts on networks of their own; None: anywhere."""
    addresses = (str(host.network.machine_address) for host in hosts if isinstance(host, NodeHost))
    return next(addresses, None)


def record_of(hosts: Sequence[Host], kind: HostsKind, link: int | None) -> dict[str, Any]:
    """What must be kept of a lab's hosts to know them again."""
    networks = {str(host.network.subnet) for host in hosts if isinstance(host, NodeHost)}
    return {
        "hosts": [host.name for host in hosts],
        "kind": str(kind),
        "link": link,
        "subnet": next(iter(networks), None),
    }


def recorded_hosts(lab: Path, record: Mapping[str, Any]) -> list[Host]:
    """The hosts of a lab by its record."""
    names = record["hosts"]
    if record["subnet"] is None:
        return _session_hosts(lab, names, record["link"])
    network = Network(lab=lab, subnet=IPv4Network(record["subnet"]), nodes=tuple(names))
    node = ClusterNode if record["kind"] == HostsKind.CLUSTER else NodeHost
    return [node(name, network, record["link"]) for name in names]


def _session_hosts(lab: Path, names: Sequence[str], link: int | None) -> list[Host]:
    def joined(place: int) -> Link | None:
        return None if link is None else Link(lab=lab, number=place // 2, rate=link)

    return [SessionHost(name, lab, joined(place)) for place, name in enumerate(names)]
