"""The command lines of the control plane's servers."""

from dataclasses import dataclass
from pathlib import Path

from vmferry_lab.controlplane.binaries import Binaries
from vmferry_lab.controlplane.certificates import KeyPair

ETCD, APISERVER, CONTROLLER_MANAGER = "etcd", "kube-apiserver", "kube-controller-manager"
NAMES = (ETCD, APISERVER, CONTROLLER_MANAGER)
"""In the order in which they start."""

_CONTROLLERS = (
    "namespace-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "garbage-collector-controller",
    "clusterrole-aggregation-controller",
    "validatingadmissionpolicy-status-controller",
)
"""What the API needs to behave as in a cluster; the lab has neither pods nor nodes to control."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the servers must know of each other."""

    data: Path
    etcd_port: int
    peer_port: int
    apiserver_address: str
    apiserver_port: int
    authority: Path
    serving: KeyPair
    accounts: Path
    """The key of service account tokens."""
    kubeconfig: Path
    """The controller manager's."""
    audit_policy: Path
    audit_log: Path


def commands(binaries: Binaries, settings: Settings) -> dict[str, list[str]]:
    """Each server's command by its name."""
    return {
        ETCD: [str(binaries.etcd), *_etcd(settings)],
        APISERVER: [str(binaries.apiserver), *_apiserver(settings)],
        CONTROLLER_MANAGER: [str(binaries.controller_manager), *_controller_manager(settings)],
    }


def _etcd(settings: Settings) -> list[str]:
    url = f"http://127.0.0.1:{settings.etcd_port}"
    peer_url = f"http://127.0.0.1:{settings.peer_port}"
    return [
        f"--data-dir={settings.data}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster=default={peer_url}",
        "--unsafe-no-fsync=true",
        "--log-level=warn",
    ]


def _apiserver(settings: Settings) -> list[str]:
    return [
        f"--etcd-servers=http://127.0.0.1:{settings.etcd_port}",
        f"--bind-address={settings.apiserver_address}",
        f"--secure-port={settings.apiserver_port}",
        f"--tls-cert-file={settings.serving.certificate}",
        f"--tls-private-key-file={settings.serving.key}",
        f"--client-ca-file={settings.authority}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={settings.accounts}",
        f"--service-account-signing-key-file={settings.accounts}",
        "--allow-privileged=true",
        "--endpoint-reconciler-type=none",
        f"--audit-policy-file={settings.audit_policy}",
        f"--audit-log-path={settings.audit_log}",
    ]


def _controller_manager(settings: Settings) -> list[str]:
    return [
        f"--kubeconfig={settings.kubeconfig}",
        "--secure-port=0",  # nobody asks it anything
        f"--root-ca-file={settings.authority}",
        f"--service-account-private-key-file={settings.accounts}",
        "--leader-elect=false",
        f"--controllers={','.join(_CONTROLLERS)}",
    ]
