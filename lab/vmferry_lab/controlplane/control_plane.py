"""etcd, kube-apiserver and kube-controller-manager as processes."""

import json
import shutil
import signal
import ssl
import urllib.request
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path

from vmferry_lab import processes
from vmferry_lab.controlplane.binaries import Binaries
from vmferry_lab.controlplane.certificates import Authority
from vmferry_lab.controlplane.commands import (
    APISERVER,
    ETCD,
    SERVICE_ADDRESS,
    PodSettings,
    Settings,
    commands,
)
from vmferry_lab.controlplane.kubeconfigs import client_environment, write_kubeconfig
from vmferry_lab.errors import LabError
from vmferry_lab.ports import free_ports
from vmferry_lab.until import until

READY_TIMEOUT = 60.0
LOOPBACK = "127.0.0.1"
_NAMESPACE = "vmferry-system"
_TRIES = 3
"""A port that was free may be taken by the time that a server listens."""
_PORT_TAKEN = "address already in use"

ADMIN = "admin"
OPERATOR = "operator"
AGENT = "agent"
_SERVICE_ACCOUNTS = ["system:serviceaccounts", f"system:serviceaccounts:{_NAMESPACE}"]
Users = Mapping[str, tuple[str, list[str]]]
"""Names and groups, by the names of kubeconfigs."""
USERS: Users = {
    ADMIN: ("kubernetes-admin", ["system:masters"]),
    OPERATOR: (f"system:serviceaccount:{_NAMESPACE}:vmferry-operator", _SERVICE_ACCOUNTS),
    AGENT: (f"system:serviceaccount:{_NAMESPACE}:vmferry-agent", _SERVICE_ACCOUNTS),
}
"""By the names of their kubeconfigs. Operator and agent are called as their service accounts are in production, so
that the same RBAC objects hold here."""
_SERVERS = (ETCD, APISERVER)
"""What the others are clients of."""


@dataclass(frozen=True, kw_only=True)
class PodsPlan:
    """Kubelets that are to run pods."""

    scheduler: Path
    """The program."""
    nodes: Sequence[str]

    @property
    def users(self) -> Users:
        """Each node's kubelet, by its kubeconfig."""
        return {kubelet_user(each): (f"system:node:{each}", ["system:nodes"]) for each in self.nodes}


def kubelet_user(node: str) -> str:
    """What the kubeconfig of a node's kubelet is called."""
    return f"kubelet-{node}"


@dataclass(frozen=True)
class ControlPlane:
    """A control plane in a lab's directory."""

    lab: Path

    def kubeconfig(self, user: str = ADMIN) -> Path:
        """The kubeconfig of one of USERS."""
        return self.lab / "kubeconfigs" / user

    @property
    def url(self) -> str:
        """Where the API server listens."""
        url: str = json.loads(self._record.read_text())["url"]
        return url

    @property
    def names(self) -> list[str]:
        """Those of its servers, in the order in which they start."""
        return list(json.loads(self._record.read_text())["commands"])

    def log(self, name: str) -> Path:
        """The log of one of its servers."""
        return self.lab / "logs" / f"{name}.log"

    def start(self, binaries: Binaries, address: str = LOOPBACK, pods: PodsPlan | None = None) -> None:
        """Start a new one and wait until the API server is ready.

        Args:
            binaries: Its programs.
            address: Where the API server listens; an address of this machine that agents reach, too.
            pods: Where there are kubelets, which run pods.

        Raises:
            LabError: It does not get ready; with the end of the log of what failed.
        """
        for attempt in range(1, _TRIES + 1):
            try:
                self._prepare(binaries, address, pods)
                self.start_missing()
            except LabError as error:
                self.stop(how=signal.SIGKILL)
                if attempt == _TRIES or _PORT_TAKEN not in str(error):
                    raise
            else:
                return

    def start_missing(self, names: Collection[str] | None = None) -> list[str]:
        """Start those that do not run, with the data that they had, and wait until the API server is ready.

        Returns:
            What was started.

        Raises:
            LabError: The API server does not get ready.
        """
        record = json.loads(self._record.read_text())
        running = processes.components_of(self.lab)
        started = [name for name in self.names if (names is None or name in names) and name not in running]
        for name in started:
            if name not in _SERVERS:
                self._wait_ready(record["url"])
            environment = client_environment(self.kubeconfig())
            command = record["commands"][name]
            processes.start(name, command, lab=self.lab, log=self.log(name), environment=environment)
        if APISERVER in {*running, *started}:
            self._wait_ready(record["url"])
        return started

    def stop(self, names: Collection[str] | None = None, *, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop its processes, or some of them: clients before servers."""
        for name in reversed(self.names):
            if names is None or name in names:
                processes.stop(processes.of_component(self.lab, name), how=how)

    @property
    def _record(self) -> Path:
        return self.lab / "control-plane.json"

    @property
    def _certificates(self) -> Path:
        return self.lab / "certificates"

    def _prepare(self, binaries: Binaries, address: str, pods: PodsPlan | None) -> None:
        """New ports, certificates, kubeconfigs, and no data."""
        etcd_port, peer_port = free_ports(2)
        (port,) = free_ports(1, address)
        authority = Authority(self._certificates)
        names = [address, "localhost", "kubernetes.default.svc", SERVICE_ADDRESS]
        settings = Settings(
            data=self.lab / "etcd",
            etcd_port=etcd_port,
            peer_port=peer_port,
            apiserver_address=address,
            apiserver_port=port,
            authority=authority.files.certificate,
            serving=authority.for_server("apiserver", names),
            accounts=authority.signing_key("service-accounts"),
            kubeconfig=self.kubeconfig(),
            pods=self._pod_settings(authority, pods) if pods else None,
        )
        shutil.rmtree(settings.data, ignore_errors=True)
        url = f"https://{address}:{port}"
        self._write_kubeconfigs(authority, url, {**USERS, **(pods.users if pods else {})})
        self._record.write_text(json.dumps({"url": url, "commands": commands(binaries, settings)}, indent=1))

    def _pod_settings(self, authority: Authority, pods: PodsPlan) -> PodSettings:
        client = authority.for_user("kubelet-client", "kube-apiserver", ["system:masters"])
        return PodSettings(scheduler=pods.scheduler, kubelets=client)

    def _write_kubeconfigs(self, authority: Authority, server: str, users: Users) -> None:
        self.kubeconfig().parent.mkdir(parents=True, exist_ok=True)
        for name, (user, groups) in users.items():
            write_kubeconfig(
                self.kubeconfig(name),
                server=server,
                authority=authority.files.certificate,
                user=user,
                credentials=authority.for_user(name, user, groups),
            )

    def _wait_ready(self, url: str) -> None:
        context = ssl.create_default_context(cafile=str(self._certificates / "ca.crt"))
        def ready() -> bool:
            running = processes.components_of(self.lab)
            for name in _SERVERS:
                if name not in running:
                    raise LabError(f"{name} has ended:\n{processes.tail(self.log(name))}")
            return _is_ok(f"{url}/readyz", context)

        try:
            until("the API server's /readyz", ready, timeout=READY_TIMEOUT)
        except TimeoutError as error:
            logs = "\n".join(processes.tail(self.log(name)) for name in _SERVERS)
            raise LabError(f"{error}\n{logs}") from error


def _is_ok(url: str, context: ssl.SSLContext) -> bool:
    direct = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with direct.open(url, timeout=5) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except (OSError, HTTPException):  # not listening yet, or not ready yet
        return False
