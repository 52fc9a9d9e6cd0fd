"""vmferry itself in the lab: the operator, and one agent on each host, as processes."""

import os
import re
import signal
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import psutil

from vmferry_lab import processes
from vmferry_lab.controlplane.control_plane import LOOPBACK, OPERATOR, ControlPlane
from vmferry_lab.controlplane.kubeconfigs import client_environment
from vmferry_lab.errors import LabError
from vmferry_lab.hosts.host import Host
from vmferry_lab.until import until

OPERATOR_NAME = "operator"
STANDBY_NAME = "operator-2"
"""A second operator, which runs where it is started by its name."""
_OPERATORS = (OPERATOR_NAME, STANDBY_NAME)
_SERVING = 30.0
_ROUGHLY = 1.0
"""Seconds by which the kernel's time of a process' start may be wrong."""
_SERVES = re.compile(r"^(\S+) .*health and metrics at http://(\S+)", re.MULTILINE)


class Components:
    """The operator and the agents of a lab.

    Args:
        lab: The lab's directory.
        control_plane: Where they connect to.
        hosts: One agent for each.
    """

    def __init__(self, lab: Path, control_plane: ControlPlane, hosts: list[Host]) -> None:
        self._lab = lab
        self._control_plane = control_plane
        self._hosts = {agent_name(host.name): host for host in hosts}

    @property
    def names(self) -> list[str]:
        """All that run by themselves, and a second operator where one runs."""
        standby = [STANDBY_NAME] if self.runs(STANDBY_NAME) else []
        return [OPERATOR_NAME, *standby, *self._hosts]

    @property
    def traces(self) -> Path:
        """Where the agents record each attempt, for `kubectl vmferry simulate --trace`."""
        return self._lab / "traces"

    def log(self, name: str) -> Path:
        """A component's log."""
        return self._lab / "logs" / f"{name}.log"

    def health(self, name: str) -> str:
        """Address and port where one that runs serves its health and metrics; waits until it has said so.

        Raises:
            LabError: It does not.
        """
        try:
            return until(f"{name} to serve its health", lambda: self._serves(name), timeout=_SERVING)
        except TimeoutError as error:
            raise LabError(f"{error}\n{processes.tail(self.log(name))}") from error

    def _serves(self, name: str) -> str | None:
        """What the process that runs now has said; earlier ones have written to the same log."""
        began = min(
            (each.create_time() for each in processes.of_component(self._lab, self._known(name))),
            default=None,
        )
        if began is None or not self.log(name).exists():
            return None
        said = _SERVES.findall(self.log(name).read_text())
        now = [address for at, address in said if datetime.fromisoformat(at).timestamp() > began - _ROUGHLY]
        return now[-1] if now else None

    def start(self, name: str, *, wheel: Path | None = None) -> None:
        """Start one that does not run.

        Args:
            name: Which.
            wheel: What it runs: the packages of this wheel; None: those of this checkout.
        """
        if self.runs(name):
            return
        environment = client_environment(self._kubeconfig(name), packages_of(wheel))
        command = [sys.executable, "-m", *self._command(name)]
        processes.start(
            name,
            command,
            lab=self._lab,
            log=self.log(name),
            environment=environment,
            through=[] if name in _OPERATORS else self._hosts[name].command(),
        )

    def stop(self, name: str, *, kill: bool = False) -> None:
        """Stop one, by SIGTERM or SIGKILL."""
        how = signal.SIGKILL if kill else signal.SIGTERM
        processes.stop(processes.of_component(self._lab, self._known(name)), how=how)

    def restart(self, name: str, *, kill: bool = False, wheel: Path | None = None) -> None:
        """Stop one and start it again, from a wheel if one is given."""
        self.stop(name, kill=kill)
        self.start(name, wheel=wheel)

    def runs(self, name: str) -> bool:
        """Whether it runs."""
        return bool(self.processes(name))

    def processes(self, name: str) -> list[psutil.Process]:
        """Its processes: one, or none."""
        return processes.of_component(self._lab, self._known(name))

    def start_all(self) -> None:
        """Start all that do not run."""
        for name in self.names:
            self.start(name)

    def _kubeconfig(self, name: str) -> Path:
        if name in _OPERATORS:
            return self._control_plane.kubeconfig(OPERATOR)
        return self._control_plane.agent_kubeconfig(self._hosts[self._known(name)].name)

    def _command(self, name: str) -> list[str]:
        if name in _OPERATORS:
            return ["vmferry_operator", *_health(LOOPBACK)]
        host = self._hosts[self._known(name)]
        addresses = ["--connect-uri", host.connect_uri, "--migration-uri", host.migration_uri]
        record = ["--record-traces", str(self.traces)]
        libvirt = ["--libvirt-uri", host.own_uri]
        health = _health(host.health_address)
        return ["vmferry_agent", "run", "--node", host.name, *libvirt, *addresses, *record, *health]

    def _known(self, name: str) -> str:
        known = [*_OPERATORS, *self._hosts]
        if name not in known:
            raise LabError(f"there is no component {name}; there are: {', '.join(known)}")
        return name


def packages_of(wheel: Path | None, given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment in which Python takes vmferry's packages from a wheel; None: from where it does anyway."""
    if wheel is None:
        return dict(given)
    return {**given, "PYTHONPATH": os.pathsep.join(filter(None, (str(wheel), given.get("PYTHONPATH"))))}


def _health(address: str) -> list[str]:
    """At any free port; the log tells which it is."""
    return ["--health-address", address, "--health-port", "0"]


def agent_name(node: str) -> str:
    """The name of a node's agent."""
    return f"agent-{node}"
