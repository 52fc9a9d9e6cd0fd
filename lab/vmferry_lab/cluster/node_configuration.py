"""The configuration of what a node of the cluster runs: containerd, its network plugin, and the kubelet."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

SOCKET = Path("/run/containerd/containerd.sock")
"""containerd's, in the node."""
PAUSE_IMAGE = "localhost/vmferry-lab/pause:1"
SYSCTLS: Mapping[str, str] = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""What a kubelet sets on the whole machine unless it finds it so."""
_NO_EVICTION = {"nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%"}


def containerd_toml(*, plugins: Path, networks: Path) -> str:
    """Containerd's.

    It must not make directories of its own below /opt, and writes no lower oom_score_adj than its own, which would
    take CAP_SYS_RESOURCE.

    Args:
        plugins: The directory of the network plugins.
        networks: The directory of their configuration.
    """
    return f"""version = 3
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]
[grpc]
address = "{SOCKET}"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{PAUSE_IMAGE}"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{plugins}"]
conf_dir = "{networks}"
"""


def pod_network(number: int) -> str:
    """The pods' network: a bridge in the node, whence they reach all that the node reaches.

    Args:
        number: Another one for each node, up to 255, so that no two pods have one address.
    """
    ranges = {"ranges": [[{"subnet": f"10.244.{number}.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": True,
        "ipam": {"type": "host-local", **ranges},
    }
    return json.dumps({"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge]})


def kubelet_yaml(*, authority: Path, cgroup: str) -> str:
    """The kubelet's.

    It tells every 2 s that it lives, so that the loss of a node shows within seconds.

    Args:
        authority: The certificate of the authority whose clients it obeys.
        cgroup: The node's control group, which it keeps to.
    """
    config: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority)},
        },
        "authorization": {"mode": "Webhook"},
        "makeIPTablesUtilChains": False,
        "failSwapOn": False,
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", **_NO_EVICTION},
        "nodeStatusUpdateFrequency": "2s",
        "nodeLeaseDurationSeconds": 8,
        "shutdownGracePeriod": "0s",
    }
    return yaml.safe_dump(config)
