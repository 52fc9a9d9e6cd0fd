"""A lab: a control plane, hosts, vmferry, guests, in one directory."""

import json
import os
import shutil
import signal
import string
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from vmferry_lab import processes
from vmferry_lab.components import Components
from vmferry_lab.controlplane.binaries import Binaries, find_or_build
from vmferry_lab.controlplane.control_plane import ControlPlane
from vmferry_lab.errors import LabError
from vmferry_lab.guests.guest import Guest, guests_in
from vmferry_lab.hosts.host import Host
from vmferry_lab.hosts.session import SessionHost, guests_of
from vmferry_lab.kubectl import Kubectl

MOST_HOSTS = 26
_RECORD = "lab.json"
_CHECKOUT = Path(__file__).parents[2]
_MANIFESTS = _CHECKOUT / "manifests"

Say = Callable[[str], None]


def default_directory() -> Path:
    """Where a lab is unless said otherwise: short, because of the sockets below it."""
    own = Path(tempfile.gettempdir()) / f"vmferry-lab-{os.getuid()}"
    return Path(os.environ.get("VMFERRY_LAB_DIR") or own)


@dataclass(frozen=True)
class Lab:
    """A lab in a directory; all that is known of it is found there and in the table of processes."""

    directory: Path

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
        return [SessionHost(name, self.directory) for name in self._record()]

    def host(self, name: str) -> Host:
        """One host by its name."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise LabError(f"there is no host {name}; there are: {', '.join(host.name for host in self.hosts)}")

    @property
    def components(self) -> Components:
        """The operator and the agents."""
        return Components(self.directory, self.control_plane, self.hosts)

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

    def up(self, *, hosts: int = 2, say: Say = print, components: bool = True) -> None:
        """Bring it up: control plane and hosts at the same time, then vmferry.

        Raises:
            LabError: Something does not start; what did start is for `down`.
        """
        began = time.monotonic()
        if self.is_up:
            say(f"{self.directory}: already up")
            return
        names = _node_names(hosts)
        binaries = find_or_build(say)
        self._prepare_directory()
        with ThreadPoolExecutor() as pool:
            starts = [pool.submit(SessionHost(name, self.directory).start) for name in names]
            starts.append(pool.submit(self._start_control_plane, binaries, names))
            _raise_first_error(starts)
        (self.directory / _RECORD).write_text(json.dumps({"hosts": names}))
        say(f"control plane and {', '.join(names)}: up after {time.monotonic() - began:.1f} s")
        if components:
            self.components.start_all()
            say(f"vmferry: started after {time.monotonic() - began:.1f} s")

    def up_control_plane(self, *, say: Say = print) -> None:
        """Bring up the control plane alone, with vmferry's API, without hosts."""
        binaries = find_or_build(say)
        self._prepare_directory()
        self._start_control_plane(binaries, [])

    def down(self) -> None:
        """Stop everything and remove the directory; also after a crash of whatever brought it up.

        Raises:
            LabError: The directory is none of a lab.
        """
        for found in (processes.of_lab(self.directory), guests_of(self.directory)):
            processes.stop(found, how=signal.SIGKILL)  # nothing of it is worth saving
        if not self.directory.exists():
            return
        if not self._is_lab_or_empty():
            raise LabError(f"{self.directory} is no lab's directory; it is left alone")
        shutil.rmtree(self.directory)

    def _start_control_plane(self, binaries: Binaries, nodes: list[str]) -> None:
        self.control_plane.start(binaries)
        manifests = [{"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}} for name in nodes]
        self.kubectl.run("apply", "--server-side", "-k", str(_MANIFESTS / "base"))
        if manifests:
            self.kubectl.apply(*manifests)
        self.kubectl.run(
            "wait", "--for=condition=Established", "--timeout=30s", "crd", "migrationpolicies.vmferry.io"
        )
        self.kubectl.run(
            "wait", "--for=condition=Established", "--timeout=30s", "crd", "vmmigrations.vmferry.io"
        )
        self.kubectl.run("apply", "--server-side", "-k", str(_MANIFESTS / "policies"))

    def _prepare_directory(self) -> None:
        if self.directory.exists() and not self._is_lab_or_empty():
            raise LabError(f"{self.directory} is not empty and no lab's directory; take another one (--dir)")
        if processes.of_lab(self.directory):
            raise LabError(
                f"{self.directory}: a lab that did not come up is there; run `vmferry-lab down` first"
            )
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o711)  # the hosts' user must get through
        (self.directory / ".vmferry-lab").touch()
        (self.directory / "guests").mkdir(exist_ok=True)

    def _is_lab_or_empty(self) -> bool:
        return (self.directory / ".vmferry-lab").exists() or not any(self.directory.iterdir())

    def _record(self) -> list[str]:
        path = self.directory / _RECORD
        if not path.exists():
            raise LabError(f"there is no lab in {self.directory}; bring one up by `vmferry-lab up`")
        names: list[str] = json.loads(path.read_text())["hosts"]
        return names


def _node_names(count: int) -> list[str]:
    if not 1 <= count <= MOST_HOSTS:
        raise LabError(f"the number of hosts must be from 1 to {MOST_HOSTS}")
    return [f"node-{letter}" for letter in string.ascii_lowercase[:count]]


def _raise_first_error(futures: list[Future[None]]) -> None:
    for future in futures:
        future.result()
