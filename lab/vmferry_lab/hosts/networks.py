"""The two networks of a lab's nodes: one that carries migrations, and one to the API server.

The data network is a bridge in a network namespace of its own, so that no firewall of this machine has a say in
what passes between nodes (bridge-nf-call-iptables), and nothing of this machine is on it. The control network is a
bridge of this machine; at its address the lab's API server listens.
"""

import json
import socket
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import psutil

from vmferry_lab.errors import LabError
from vmferry_lab.hosts import kernel_names
from vmferry_lab.hosts.commands import run
from vmferry_lab.hosts.links import remove_namespaces
from vmferry_lab.hosts.machine_lock import one_at_a_time
from vmferry_lab.hosts.privileges import is_root

BENCHMARKS = IPv4Network("198.18.0.0/15")
"""Set aside for tests of networks (RFC 2544), so that nobody is reached at these addresses."""
_OF_A_LAB = 23
"""The length of a lab's prefix: a /24 for data, the next one for control."""
_FIRST_NODE = 11
"""The last number of the first node's addresses."""
DATA, CONTROL = "eth0", "eth1"
"""The interfaces in a node."""
_BRIDGE = "bridge"
"""The data network's, in the switch's namespace."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """The networks of a lab, and who is where on them.

    Every interface has a fixed MAC address: after a power cycle its peers still have its last one in mind, and
    would send there for half a minute.
    """

    lab: Path
    subnet: IPv4Network
    nodes: tuple[str, ...]

    def data_address(self, node: str) -> IPv4Address:
        """Where a node takes migrations."""
        return self._data[_FIRST_NODE + self._place(node)]

    def control_address(self, node: str) -> IPv4Address:
        """Whence a node talks to the API server."""
        return self._control[_FIRST_NODE + self._place(node)]

    @property
    def machine_address(self) -> IPv4Address:
        """This machine's, on the control network."""
        return self._control[1]

    @property
    def switch(self) -> str:
        """The network namespace that the data network's bridge is in."""
        return f"{kernel_names.namespaces(self.lab)}switch"

    @property
    def control_bridge(self) -> str:
        """The control network's bridge, on this machine."""
        return f"{kernel_names.interfaces(self.lab)}c"

    def control_end(self, node: str) -> str:
        """The end of a node's control link on this machine; that of its data link is named as the node is."""
        return f"{kernel_names.interfaces(self.lab)}{self._place(node)}"

    def create(self) -> None:
        """Make the bridges.

        Raises:
            LabError: The kernel refuses.
        """
        run(["ip", "netns", "add", self.switch])
        run(
            ["ip", "-n", self.switch, "-batch", "-"],
            stdin=f"link add name {_BRIDGE} type bridge\nlink set {_BRIDGE} up\n",
        )
        bridge, address = self.control_bridge, self.machine_address
        run(
            ["ip", "-batch", "-"],
            stdin=f"link add name {bridge} address {_mac(address)} type bridge\n"
            f"addr add {address}/24 dev {bridge}\nlink set {bridge} up\n",
        )

    def connect(self, node: str, process: int) -> None:
        """Join a node to both networks; links that it had before are removed.

        Args:
            node: The node's name.
            process: One that runs in its network namespace.

        Raises:
            LabError: The kernel refuses.
        """
        self.disconnect(node)
        data, control, end = self.data_address(node), self.control_address(node), self.control_end(node)
        run(
            ["ip", "-batch", "-"],
            stdin=f"link add name {node} netns {self.switch} type veth "
            f"peer name {DATA} address {_mac(data)} netns {process}\n"
            f"link add name {end} type veth peer name {CONTROL} address {_mac(control)} netns {process}\n"
            f"link set {end} master {self.control_bridge} up\n",
        )
        run(["ip", "-n", self.switch, "link", "set", node, "master", _BRIDGE, "up"])
        run(
            ["nsenter", "--target", str(process), "--net", "ip", "-batch", "-"],
            stdin=f"addr add {data}/24 dev {DATA}\nlink set {DATA} up\n"
            f"addr add {control}/24 dev {CONTROL}\nlink set {CONTROL} up\nlink set lo up\n",
        )

    def let_machine_reach(self, node: str) -> None:
        """Have this machine reach a node's data address, too: over its control link."""
        words = ["replace", f"{self.data_address(node)}/32", "via", str(self.control_address(node))]
        run(["ip", "route", *words, "dev", self.control_bridge])

    def disconnect(self, node: str) -> None:
        """Remove a node's links; the kernel removes a dead node's by itself, but later."""
        _remove([], {self.control_end(node)})
        _remove(["-n", self.switch], {node})

    @property
    def _data(self) -> IPv4Network:
        return next(self.subnet.subnets(new_prefix=24))

    @property
    def _control(self) -> IPv4Network:
        return list(self.subnet.subnets(new_prefix=24))[1]

    def _place(self, node: str) -> int:
        return self.nodes.index(node)


def claim_network(lab: Path, nodes: Collection[str]) -> Network:
    """Make the networks of a lab, at addresses that nothing on this machine has.

    Raises:
        LabError: There are no such addresses, or the kernel refuses.
    """
    remove_networks(lab)  # of one that has ended without `down`
    with one_at_a_time():
        network = Network(lab=lab, subnet=free_subnet(_own_addresses()), nodes=tuple(nodes))
        network.create()
    return network


def remove_networks(lab: Path) -> None:
    """Remove all networks and links of a lab; whatever ran there has been stopped.

    Raises:
        LabError: The kernel refuses.
    """
    if not is_root():
        return
    remove_namespaces(lab)
    _remove([], {name for name in _interfaces([]) if name.startswith(kernel_names.interfaces(lab))})


def free_subnet(taken: Collection[IPv4Address]) -> IPv4Network:
    """The first subnet for a lab that has none of these addresses.

    Raises:
        LabError: There is none.
    """
    for subnet in BENCHMARKS.subnets(new_prefix=_OF_A_LAB):
        if not any(address in subnet for address in taken):
            return subnet
    raise LabError(f"this machine has an address in each /{_OF_A_LAB} of {BENCHMARKS}; take some labs down")


def _remove(where: list[str], names: set[str]) -> None:
    """Remove interfaces that are there; the kernel may be about to do so, too."""
    for name in names & _interfaces(where):
        try:
            run(["ip", *where, "link", "del", name])
        except LabError:
            if name in _interfaces(where):
                raise


def _interfaces(where: list[str]) -> set[str]:
    return {each["ifname"] for each in json.loads(run(["ip", *where, "-json", "link"]))}


def _own_addresses() -> list[IPv4Address]:
    return [
        IPv4Address(each.address)
        for several in psutil.net_if_addrs().values()
        for each in several
        if each.family == socket.AF_INET
    ]


def _mac(address: IPv4Address) -> str:
    """A MAC address of our own making that follows from the IP address, which no two have."""
    return "02:4d:" + ":".join(f"{byte:02x}" for byte in address.packed)
