"""etcd, kube-apiserver and kube-controller-manager as processes on loopback."""

import shutil
import ssl
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path

import psutil

from vmferry_lab import processes
from vmferry_lab.controlplane.binaries import Binaries
from vmferry_lab.controlplane.certificates import Authority
from vmferry_lab.controlplane.kubeconfigs import write_kubeconfig
from vmferry_lab.errors import LabError
from vmferry_lab.ports import free_ports
from vmferry_lab.until import until

READY_TIMEOUT = 60.0
_NAMESPACE = "vmferry-system"
_TRIES = 3
"""A port that was free may be taken by the time that a server listens."""
_PORT_TAKEN = "address already in use"

NAMES = ("etcd", "kube-apiserver", "kube-controller-manager")
"""The processes, in the order in which they start."""

_CONTROLLERS = (
    "namespace-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "garbage-collector-controller",
    "clusterrole-aggregation-controller",
    "validatingadmissionpolicy-status-controller",
)
"""What the API needs to behave as in a cluster; the lab has neither pods nor nodes to control."""

ADMIN = "admin"
OPERATOR = "operator"
AGENT = "agent"
_SERVICE_ACCOUNTS = ["system:serviceaccounts", f"system:serviceaccounts:{_NAMESPACE}"]
USERS = {
    ADMIN: ("kubernetes-admin", ["system:masters"]),
    OPERATOR: (f"system:serviceaccount:{_NAMESPACE}:vmferry-operator", _SERVICE_ACCOUNTS),
    AGENT: (f"system:serviceaccount:{_NAMESPACE}:vmferry-agent", _SERVICE_ACCOUNTS),
}
"""By the names of their kubeconfigs. Operator and agent are called as their service accounts are in production, so
that the same RBAC objects hold here."""


@dataclass(frozen=True)
class ControlPlane:
    """A control plane in a lab's directory."""

    lab: Path

    def kubeconfig(self, user: str = ADMIN) -> Path:
        """The kubeconfig of one of USERS."""
        return self.lab / "kubeconfigs" / user

    def log(self, component: str) -> Path:
        """A component's log."""
        return self.lab / "logs" / f"{component}.log"

    def start(self, binaries: Binaries) -> None:
        """Start it and wait until the API server is ready.

        Raises:
            LabError: It does not get ready; with the end of the log of what failed.
        """
        for attempt in range(1, _TRIES + 1):
            try:
                self._start(binaries)
            except LabError as error:
                self.stop()
                if attempt == _TRIES or _PORT_TAKEN not in str(error):
                    raise
            else:
                return

    def stop(self) -> None:
        """Stop its processes: clients before servers."""
        for component in reversed(NAMES):
            processes.stop(processes.of_component(self.lab, component))

    def _start(self, binaries: Binaries) -> None:
        etcd_port, peer_port, port = free_ports(3)
        authority = Authority(self.lab / "certificates")
        etcd = self._start_etcd(binaries.etcd, etcd_port, peer_port)
        accounts = authority.signing_key("service-accounts")
        apiserver = self._start_apiserver(
            binaries.apiserver, port=port, etcd_port=etcd_port, authority=authority, accounts=accounts
        )
        self._write_kubeconfigs(authority, f"https://127.0.0.1:{port}")
        self._wait_ready({"etcd": etcd, "kube-apiserver": apiserver}, port, authority)
        self._start_controller_manager(binaries.controller_manager, authority, accounts)

    def _start_etcd(self, program: Path, port: int, peer_port: int) -> psutil.Process:
        data = self.lab / "etcd"
        shutil.rmtree(data, ignore_errors=True)
        url, peer_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
        return self._run(
            "etcd",
            [
                program,
                f"--data-dir={data}",
                f"--listen-client-urls={url}",
                f"--advertise-client-urls={url}",
                f"--listen-peer-urls={peer_url}",
                f"--initial-advertise-peer-urls={peer_url}",
                f"--initial-cluster=default={peer_url}",
                "--unsafe-no-fsync=true",
                "--log-level=warn",
            ],
        )

    def _start_apiserver(
        self,
        program: Path,
        *,
        port: int,
        etcd_port: int,
        authority: Authority,
        accounts: Path,
    ) -> psutil.Process:
        server = authority.for_server(
            "apiserver", ["127.0.0.1", "localhost", "kubernetes.default.svc", "10.0.0.1"]
        )
        return self._run(
            "kube-apiserver",
            [
                program,
                f"--etcd-servers=http://127.0.0.1:{etcd_port}",
                "--bind-address=127.0.0.1",
                f"--secure-port={port}",
                f"--cert-dir={self.lab / 'certificates'}",
                f"--tls-cert-file={server.certificate}",
                f"--tls-private-key-file={server.key}",
                f"--client-ca-file={authority.files.certificate}",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                "--service-cluster-ip-range=10.0.0.0/24",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={accounts}",
                f"--service-account-signing-key-file={accounts}",
                "--allow-privileged=true",
                "--endpoint-reconciler-type=none",
            ],
        )

    def _start_controller_manager(self, program: Path, authority: Authority, accounts: Path) -> None:
        self._run(
            "kube-controller-manager",
            [
                program,
                f"--kubeconfig={self.kubeconfig()}",
                "--secure-port=0",  # nobody asks it anything
                f"--root-ca-file={authority.files.certificate}",
                f"--service-account-private-key-file={accounts}",
                "--leader-elect=false",
                f"--controllers={','.join(_CONTROLLERS)}",
            ],
        )

    def _write_kubeconfigs(self, authority: Authority, server: str) -> None:
        self.kubeconfig().parent.mkdir(parents=True, exist_ok=True)
        for name, (user, groups) in USERS.items():
            write_kubeconfig(
                self.kubeconfig(name),
                server=server,
                authority=authority.files.certificate,
                user=user,
                credentials=authority.for_user(name, user, groups),
            )

    def _wait_ready(self, servers: dict[str, psutil.Process], port: int, authority: Authority) -> None:
        context = ssl.create_default_context(cafile=str(authority.files.certificate))

        def ready() -> bool:
            for name, process in servers.items():
                if processes.has_ended(process):
                    raise LabError(f"{name} has ended:\n{processes.tail(self.log(name))}")
            return _is_ok(f"https://127.0.0.1:{port}/readyz", context)

        try:
            until("the API server's /readyz", ready, timeout=READY_TIMEOUT)
        except TimeoutError as error:
            logs = "\n".join(processes.tail(self.log(name)) for name in servers)
            raise LabError(f"{error}\n{logs}") from error

    def _run(self, component: str, command: Sequence[str | Path]) -> psutil.Process:
        return processes.start(component, command, lab=self.lab, log=self.log(component))


def _is_ok(url: str, context: ssl.SSLContext) -> bool:
    direct = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with direct.open(url, timeout=5) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except (OSError, HTTPException):  # not listening yet, or not ready yet
        return False
