"""The programs of a node that runs pods: found in the cache, or built and unpacked once.

containerd is built from its Go module, since Debian's 1.6 lacks what a kubelet of 1.38 will ask for; runc, part of
which is C, is Debian's, as the network plugins are.
"""

from dataclasses import dataclass
from pathlib import Path

from vmferry_lab.cache import Say, cache_directory
from vmferry_lab.controlplane.binaries import find_or_build_for_pods
from vmferry_lab.controlplane.binaries.building import build_missing, built_once, version_of
from vmferry_lab.debian import unpacked

_CONTAINERD = "github.com/containerd/containerd/v2"
_CONTAINERD_MODULE = Path(__file__).parent / "containerd"
_PAUSE_MODULE = Path(__file__).parent / "pause"
_PLUGINS = ("bridge", "host-local", "loopback")


@dataclass(frozen=True, kw_only=True)
class ClusterBinaries:
    """Where the programs are."""

    scheduler: Path
    kubelet: Path
    containerd: Path
    """With its shim, containerd-shim-runc-v2, beside it."""
    ctr: Path
    runc: Path
    plugins: Path
    """The directory of the network plugins."""
    pause: Path
    """What holds a pod's namespaces."""


def find_or_build_cluster(say: Say) -> ClusterBinaries:
    """The programs, built and downloaded if need be (3 minutes after the control plane's).

    Raises:
        LabError: They can't be had.
    """
    pods = find_or_build_for_pods(say)
    containerd = cache_directory() / f"containerd-{version_of(_CONTAINERD, _CONTAINERD_MODULE)}"
    build_missing(
        {name: f"{_CONTAINERD}/cmd/{name}" for name in ("containerd", "containerd-shim-runc-v2", "ctr")},
        ["-tags", "no_btrfs no_devmapper no_zfs", "-ldflags", "-s -w"],
        module=_CONTAINERD_MODULE,
        cache=containerd,
        duration="1.5 minutes",
        say=say,
    )
    plugins = [f"usr/lib/cni/{name}" for name in _PLUGINS]
    return ClusterBinaries(
        scheduler=pods.scheduler,
        kubelet=pods.kubelet,
        containerd=containerd / "containerd",
        ctr=containerd / "ctr",
        runc=unpacked("runc", ["usr/sbin/runc"], size="3 MB", say=say) / "runc",
        plugins=unpacked("containernetworking-plugins", plugins, size="7 MB", say=say),
        pause=built_once(_PAUSE_MODULE, say),
    )
