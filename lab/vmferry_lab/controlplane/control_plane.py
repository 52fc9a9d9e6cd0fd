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
from vmferry_lab.controlplane.accounts import AGENT_ACCOUNT, OPERATOR_ACCOUNT, bound_token
from vmferry_lab.controlplane.audit import audit_policy
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
from vmferry_lab.kubectl import Kubectl
from vmferry_lab.ports import free_ports
from vmferry_lab.until import until

READY_TIMEOUT = 60.0
LOOPBACK = "127.0.0.1"
_TRIES = 3
"""A port that was free may be taken by the time that a server listens."""
_PORT_TAKEN = "address already in use"

ADMIN = "admin"
OPERATOR = "operator"
_ADMINISTRATOR = ("kubernetes-admin", ["system:masters"])
"""User and groups."""
_SERVERS = (ETCD, APISERVER)
"""What the others are clients of."""


@dataclass(frozen=True, kw_only=True)
class PodsPlan:
    """Kubelets that are to run pods."""

    scheduler: Path
    """The program."""
    nodes: Sequence[str]

    @property
    def users(self) -> dict[str, tuple[str, list[str]]]:
        """Each kubelet's user and groups, by its kubeconfig."""
        return {kubelet_user(each): (f"system:node:{each}", ["system:nodes"]) for each in self.nodes}


def kubelet_user(node: str) -> str:
    """What the kubeconfig of a node's kubelet is called."""
    return f"kubelet-{node}"


@dataclass(frozen=True)
class ControlPlane:
    """A control plane in a lab's directory."""

    lab: Path

    def kubeconfig(self, user: str = ADMIN) -> Path:
        """The kubeconfig of the administrator or of the operator."""
        return self.lab / "kubeconfigs" / user

    @property
    def url(self) -> str:
        """Where the API server listens."""
        url: str = json.loads(self._record.read_text())["url"]
        return url

    @property
    def names(self) -> list[str]:
        """Those of its servers, in the order in which they start; none before it has been started once."""
        if not self._record.exists():
            return []
        return list(json.loads(self._record.read_text())["commands"])

    @property
    def authority(self) -> Path:
        """The certificate of the authority that all of its clients and servers have theirs from."""
        return self._certificates / "ca.crt"

    def agent_kubeconfig(self, node: str) -> Path:
        """The kubeconfig of the agent of a node; its Pod and token are made when it is asked for first."""
        name = f"{AGENT_ACCOUNT}-{node}"
        if not self.kubeconfig(name).exists():
            self._write_account(name, AGENT_ACCOUNT, pod=name, node=node)
        return self.kubeconfig(name)

    def admit(self, nodes: Collection[str]) -> None:
        """Make the kubeconfigs of the operator and of the agents of these nodes; their accounts must be there.

        Raises:
            KubectlError: Refused.
        """
        self._write_account(OPERATOR, OPERATOR_ACCOUNT, pod=OPERATOR_ACCOUNT)
        for node in nodes:
            self.agent_kubeconfig(node)

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
    def audit_log(self) -> Path:
        """What operator and agents have asked of the API server; see vmferry_lab.controlplane.audit."""
        return self.lab / "logs" / "audit.log"

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
            audit_policy=self.lab / "audit-policy.yaml",
            audit_log=self.audit_log,
        )
        settings.audit_policy.write_text(audit_policy())
        shutil.rmtree(settings.data, ignore_errors=True)
        url = f"https://{address}:{port}"
        users = {ADMIN: _ADMINISTRATOR, **(pods.users if pods else {})}
        self._write_kubeconfigs(authority, url, users)
        self._record.write_text(json.dumps({"url": url, "commands": commands(binaries, settings)}, indent=1))

    def _pod_settings(self, authority: Authority, pods: PodsPlan) -> PodSettings:
        client = authority.for_user("kubelet-client", *_ADMINISTRATOR)
        return PodSettings(scheduler=pods.scheduler, kubelets=client)

    def _write_kubeconfigs(
        self, authority: Authority, server: str, users: Mapping[str, tuple[str, list[str]]]
    ) -> None:
        """Those of users with certificates; those of service accounts that are there are another cluster's."""
        shutil.rmtree(self.kubeconfig().parent, ignore_errors=True)
        self.kubeconfig().parent.mkdir(parents=True)
        for name, (user, groups) in users.items():
            write_kubeconfig(
                self.kubeconfig(name),
                server=server,
                authority=authority.files.certificate,
                user=user,
                credentials=authority.for_user(name, user, groups),
            )

    def _write_account(self, name: str, account: str, *, pod: str, node: str | None = None) -> None:
        write_kubeconfig(
            self.kubeconfig(name),
            server=self.url,
            authority=self.authority,
            user=account,
            credentials=bound_token(Kubectl(self.kubeconfig()), account, pod=pod, node=node),
        )

    def _wait_ready(self, url: str) -> None:
        context = ssl.create_default_context(cafile=str(self.authority))

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
