"""The programs of etcd and Kubernetes: found, or built once from Go modules.

They are looked for in $KUBEBUILDER_ASSETS (setup-envtest's directory), then in the user's cache, and otherwise
built into the cache; go.mod beside this file says which versions.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vmferry_lab.cache import Say, cache_directory
from vmferry_lab.controlplane.binaries.building import build_missing, version_of
from vmferry_lab.errors import LabError

_MODULE = Path(__file__).parent
_KUBERNETES = "k8s.io/kubernetes"
_ETCD = "go.etcd.io/etcd/server/v3"
_CONTROL_PLANE = {
    "etcd": _ETCD,
    "kube-apiserver": f"{_KUBERNETES}/cmd/kube-apiserver",
    "kube-controller-manager": f"{_KUBERNETES}/cmd/kube-controller-manager",
}
_FOR_PODS = {
    "kube-scheduler": f"{_KUBERNETES}/cmd/kube-scheduler",
    "kubelet": f"{_KUBERNETES}/cmd/kubelet",
}


@dataclass(frozen=True)
class Binaries:
    """Where the control plane's programs are."""

    etcd: Path
    apiserver: Path
    controller_manager: Path


@dataclass(frozen=True)
class PodBinaries:
    """Where the programs are that a cluster needs in addition to run pods."""

    scheduler: Path
    kubelet: Path


def find_or_build(say: Say) -> Binaries:
    """The control plane's, built if need be (6 minutes on 2 cores).

    Raises:
        LabError: They can't be built.
    """
    return Binaries(*_found(_CONTROL_PLANE, "6 minutes", say))


def find_or_build_for_pods(say: Say) -> PodBinaries:
    """What pods need in addition, built if need be (a minute after the control plane's).

    Raises:
        LabError: They can't be built.
    """
    return PodBinaries(*_found(_FOR_PODS, "a minute", say))


def _found(packages: Mapping[str, str], duration: str, say: Say) -> list[Path]:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    found = {name: Path(assets) / name for name in packages if assets and (Path(assets) / name).is_file()}
    if missing := {name: package for name, package in packages.items() if name not in found}:
        cache = _build_missing(missing, duration, say)
        found |= {name: cache / name for name in missing}
    return [found[name] for name in packages]


def _build_missing(packages: Mapping[str, str], duration: str, say: Say) -> Path:
    kubernetes, etcd = version_of(_KUBERNETES, _MODULE), version_of(_ETCD, _MODULE)
    cache = cache_directory() / f"kubernetes-{kubernetes}_etcd-{etcd}"
    major, minor = kubernetes.removeprefix("v").split(".")[:2]
    version = "k8s.io/component-base/version"
    variables = {"gitVersion": kubernetes, "gitMajor": major, "gitMinor": minor}
    flags = " ".join(["-s", "-w", *(f"-X {version}.{name}={value}" for name, value in variables.items())])
    try:
        build_missing(packages, ["-ldflags", flags], module=_MODULE, cache=cache, duration=duration, say=say)
    except LabError as error:
        raise LabError(
            f"can't build {', '.join(packages)}: {error}; point KUBEBUILDER_ASSETS at a directory that has them "
            "if you have one"
        ) from error
    return cache
