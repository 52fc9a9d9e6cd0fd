"""The command lines of the control plane's servers."""

from dataclasses import dataclass
from pathlib import Path

from vmferry_lab.controlplane.binaries import Binaries
from vmferry_lab.controlplane.certificates import KeyPair

ETCD, APISERVER, CONTROLLER_MANAGER = "etcd", "kube-apiserver", "kube-controller-manager"
SCHEDULER = "kube-scheduler"
NAMES = (ETCD, APISERVER, CONTROLLER_MANAGER)
"""In the order in which they start."""
SERVICE_ADDRESS = "10.0.0.1"
"""The API server's as pods know it: the first of those that services get."""

_CONTROLLERS = (
    "namespace-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "garbage-collector-controller",
    "clusterrole-aggregation-controller",
    "validatingadmissionpolicy-status-controller",
)
"""What the API needs to behave as in a cluster, where there are neither pods nor nodes to control."""
_ALL_BUT_VOLUMES = (
    "*",
    *(f"-persistentvolume-{each}-controller" for each in ("attach-detach", "binder", "expander")),
)
"""Where there are both. Nothing of the lab outlives its pods; and those would make directories below /usr."""
_NODE_GRACE = 8
"""Seconds of a kubelet's silence after which its node counts as not ready; Kubernetes' default is 50."""


@dataclass(frozen=True, kw_only=True)
class PodSettings:
    """What the servers must know in addition where there are kubelets, which run pods."""

    scheduler: Path
    """The program."""
    kubelets: KeyPair
    """As whom the API server talks to kubelets."""


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
    """The controller manager's and the scheduler's."""
    audit_policy: Path
    audit_log: Path
    pods: PodSettings | None = None


def commands(binaries: Binaries, settings: Settings) -> dict[str, list[str]]:
    """Each server's command by its name."""
    found = {
        ETCD: [str(binaries.etcd), *_etcd(settings)],
        APISERVER: [str(binaries.apiserver), *_apiserver(settings)],
        CONTROLLER_MANAGER: [str(binaries.controller_manager), *_controller_manager(settings)],
    }
    if settings.pods is not None:
        found[APISERVER] += _apiserver_for_pods(settings.pods)
        found[SCHEDULER] = [str(settings.pods.scheduler), *_scheduler(settings)]
    return found


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


def _apiserver_for_pods(pods: PodSettings) -> list[str]:
    return [
        "--kubelet-preferred-address-types=InternalIP",  # names of nodes mean nothing on this machine
        f"--kubelet-client-certificate={pods.kubelets.certificate}",
        f"--kubelet-client-key={pods.kubelets.key}",
    ]


def _controller_manager(settings: Settings) -> list[str]:
    if settings.pods is None:
        nodes = []
    else:
        nodes = [f"--node-monitor-grace-period={_NODE_GRACE}s", "--node-monitor-period=1s"]
    return [
        f"--kubeconfig={settings.kubeconfig}",
        "--secure-port=0",  # nobody asks it anything
        f"--root-ca-file={settings.authority}",
        f"--service-account-private-key-file={settings.accounts}",
        "--leader-elect=false",
        f"--controllers={','.join(_ALL_BUT_VOLUMES if settings.pods else _CONTROLLERS)}",
        *nodes,
    ]


def _scheduler(settings: Settings) -> list[str]:
    return [f"--kubeconfig={settings.kubeconfig}", "--secure-port=0", "--leader-elect=false"]
