"""What can be done to a node: its links, what passes on them, its power, its daemon.

Each is made as it would come: a cable that is pulled (silent: neither RST nor FIN), a firewall that drops a port,
a connection that is reset, a link that is slow, a host that loses power.
"""

import json
import signal
from abc import ABC, abstractmethod
from enum import StrEnum

import psutil

from vmferry_lab import processes
from vmferry_lab.errors import LabError
from vmferry_lab.hosts.commands import run
from vmferry_lab.hosts.networks import DATA, Network
from vmferry_lab.hosts.node_files import DAEMON_PORTS, STREAM_PORTS
from vmferry_lab.hosts.shaping import token_bucket


class Traffic(StrEnum):
    """A part of what passes between two nodes."""

    CONTROL = "control"
    """libvirtd's connections to other libvirtds."""
    STREAM = "stream"
    """What QEMU sends to QEMU: memory and disks."""

    @property
    def ports(self) -> tuple[range, ...]:
        """The ports that it goes to."""
        return DAEMON_PORTS if self is Traffic.CONTROL else (STREAM_PORTS,)


class Faults(ABC):
    """The faults of a node; all but power loss can be taken back, and none outlives a power cycle."""

    name: str
    network: Network

    @property
    @abstractmethod
    def first_process(self) -> psutil.Process:
        """The first process of the node's namespaces.

        Raises:
            LabError: The node is powered off.
        """

    @property
    @abstractmethod
    def daemons(self) -> list[psutil.Process]:
        """Its libvirt daemon, if it runs."""

    def cut(self) -> None:
        """Pull the cable of the data link: nobody is told, nothing passes."""
        self._set_data("down")

    def drop(self, traffic: Traffic) -> None:
        """Drop one part of what passes on the data link, both ways, and nothing else."""
        for chain, side in (("INPUT", "-i"), ("OUTPUT", "-o")):
            for ports in traffic.ports:
                for end in ("--sport", "--dport"):
                    which = [side, DATA, "-p", "tcp", end, f"{ports.start}:{ports.stop - 1}"]
                    self._run(["iptables", "-w", "-A", chain, *which, "-j", "DROP"])

    def heal(self) -> None:
        """Take back `cut` and `drop`."""
        self._run(["iptables", "-w", "-F"])
        self._set_data("up")

    def reset(self, traffic: Traffic) -> None:
        """Close the connections of one part at once; their other ends are told, too, unless the link is cut."""
        self._run(["ss", "--kill", "--tcp", "state", "established", socket_filter(traffic)])

    def shape(self, rate: int) -> None:
        """Let each direction of the data link carry no more than so many bytes per second, from now on."""
        self._at_both_ends("replace", *token_bucket(rate))

    def unshape(self) -> None:
        """Take back `shape`."""
        if self._rate is not None:
            self._at_both_ends("delete")

    def cut_control_link(self) -> None:
        """Cut the node off from the API server; migrations go on."""
        self._set_control("down")

    def heal_control_link(self) -> None:
        """Take back `cut_control_link`."""
        self._set_control("up")

    def power_off(self, *, silent: bool = True) -> None:
        """Kill all that runs in the node at once.

        Args:
            silent: As at a loss of power: no peer is told. Otherwise the kernel closes the node's connections, as
                when all processes crash at once.
        """
        first = self.first_process
        if silent:
            self.cut()
            self.cut_control_link()
        processes.stop([first], how=signal.SIGKILL)

    def faults(self) -> list[str]:
        """Those that are in force, in words."""
        rate = self._rate
        dropped = " ".join(self._run(["iptables", "-w", "-S"]).splitlines())
        data = run(["ip", "-n", self.network.switch, "-brief", "link", "show", "dev", self.name])
        control = run(["ip", "-brief", "link", "show", "dev", self.network.control_end(self.name)])
        found = {
            "data link cut": "DOWN" in data,
            "control link cut": "DOWN" in control,
            f"data link carries {(rate or 0) / 1e6:g} MB/s": rate,
            **{f"{each} dropped": f"--dport {each.ports[0].start}" in dropped for each in Traffic},
            "libvirtd frozen": any(each.status() == psutil.STATUS_STOPPED for each in self.daemons),
        }
        return [words for words, holds in found.items() if holds]

    def freeze_daemon(self) -> None:
        """Stop the libvirt daemon (SIGSTOP): it takes connections, and answers none."""
        self._signal_daemon(signal.SIGSTOP)

    def thaw_daemon(self) -> None:
        """Take back `freeze_daemon`."""
        self._signal_daemon(signal.SIGCONT)

    def _signal_daemon(self, number: signal.Signals) -> None:
        if not self.daemons:
            raise LabError(f"libvirtd of {self.name} does not run")
        for each in self.daemons:
            each.send_signal(number)

    def _set_data(self, state: str) -> None:
        self._require_power()
        run(["ip", "-n", self.network.switch, "link", "set", self.name, state])

    def _set_control(self, state: str) -> None:
        self._require_power()
        run(["ip", "link", "set", self.network.control_end(self.name), state])

    def _require_power(self) -> None:
        """The ends of a node's links outlive it for a moment, and would take anything."""
        _ = self.first_process

    @property
    def _rate(self) -> int | None:
        """What a direction of the data link carries, in bytes per second; None: it is not shaped."""
        (qdisc,) = json.loads(self._run(["tc", "-json", "qdisc", "show", "dev", DATA, "root"]))
        rate: int | None = qdisc["options"].get("rate")
        return rate

    def _at_both_ends(self, verb: str, *words: str) -> None:
        """tc, for what goes to the node and for what comes from it."""
        self._require_power()
        run(["tc", "-n", self.network.switch, "qdisc", verb, "dev", self.name, "root", *words])
        self._run(["tc", "qdisc", verb, "dev", DATA, "root", *words])

    def _run(self, command: list[str]) -> str:
        return run(["nsenter", "--target", str(self.first_process.pid), "--mount", "--net", *command])


def socket_filter(traffic: Traffic) -> str:
    """The sockets of one part of the traffic, as ss chooses them: either end may be the one that listened."""
    ends = [
        f"( {side} >= :{ports.start} and {side} <= :{ports.stop - 1} )"
        for ports in traffic.ports
        for side in ("sport", "dport")
    ]
    return " or ".join(ends)
