"""What of a lab runs pods: its nodes' services, and vmferry in pods of the shipped images."""

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmferry_lab import processes
from vmferry_lab.cache import Say
from vmferry_lab.cluster import images
from vmferry_lab.cluster.binaries import ClusterBinaries
from vmferry_lab.cluster.node import ClusterNode, Service, prepare
from vmferry_lab.controlplane.control_plane import ControlPlane
from vmferry_lab.errors import LabError
from vmferry_lab.kubectl import TIMEOUT, Kubectl, KubectlError

NAMESPACE = "vmferry-system"
OPERATOR, AGENT = "deployment/vmferry-operator", "daemonset/vmferry-agent"
_READY = 180.0
"""Seconds; generous, because the machine may be slow."""


@dataclass(frozen=True)
class Pod:
    """A pod of vmferry as it was when it was read."""

    manifest: dict[str, Any]
    kubectl: Kubectl

    @property
    def name(self) -> str:
        """Its name."""
        name: str = self.manifest["metadata"]["name"]
        return name

    @property
    def node(self) -> str | None:
        """Where it is."""
        node: str | None = self.manifest["spec"].get("nodeName")
        return node

    @property
    def image(self) -> str:
        """What its container was made of, as its node calls it."""
        (container,) = self.manifest["status"]["containerStatuses"]
        image: str = container["image"]
        return image

    @property
    def ends(self) -> bool:
        """Whether it has been told to end."""
        return "deletionTimestamp" in self.manifest["metadata"]

    @property
    def ready(self) -> bool:
        """Whether its container serves."""
        return any(
            each["type"] == "Ready" and each["status"] == "True"
            for each in self.manifest["status"].get("conditions", [])
        )

    @property
    def state(self) -> str:
        """Where it is, and how it does, in words."""
        ready = "ready" if self.ready else "not ready"
        return f"{self.node or 'on no node'}, {'ends' if self.ends else ready}"

    @property
    def restarts(self) -> int:
        """How often its container was started again."""
        return sum(each["restartCount"] for each in self.manifest["status"].get("containerStatuses", []))

    def run(self, *command: str) -> str:
        """What a command in its container prints.

        Raises:
            KubectlError: It fails.
        """
        return self.kubectl.run("-n", NAMESPACE, "exec", self.name, "--", *command)

    def log(self) -> str:
        """What its container has said.

        Raises:
            KubectlError: Its kubelet does not answer.
        """
        return self.kubectl.run("-n", NAMESPACE, "logs", self.name)

    def delete(self, *, kill: bool = False) -> None:
        """Have it end; without grace if it is to be killed.

        Raises:
            KubectlError: Refused.
        """
        grace = ["--grace-period=0", "--force"] if kill else []
        self.kubectl.run("-n", NAMESPACE, "delete", "pod", self.name, *grace)


@dataclass(frozen=True)
class Cluster:
    """The nodes of a lab as members of a cluster.

    Args:
        lab: The lab's directory.
        control_plane: Where kubelets and pods connect to.
        nodes: All of them.
    """

    lab: Path
    control_plane: ControlPlane
    nodes: Sequence[ClusterNode]

    @property
    def kubectl(self) -> Kubectl:
        """Kubectl as the cluster's administrator."""
        return Kubectl(self.control_plane.kubeconfig())

    @property
    def service_states(self) -> dict[str, bool]:
        """Each node's containerd and kubelet by their names among the lab's processes: whether they run."""
        return {
            node.component(service): bool(node.processes_of(service))
            for node in self.nodes
            for service in Service
        }

    def service(self, name: str) -> tuple[ClusterNode, Service] | None:
        """The service that a name means."""
        for node in self.nodes:
            for each in Service:
                if name == node.component(each):
                    return node, each
        return None

    def start_nodes(self, archives: Sequence[Path], binaries: ClusterBinaries, say: Say) -> None:
        """Start nodes that are new, with these images on them.

        Raises:
            LabError: One does not start, or an image is none.
        """
        prepare(self.nodes, binaries, self.control_plane.authority)
        root = images.cached_root(archives, binaries, say)

        def start(node: ClusterNode) -> None:
            images.copy_root(root, node.directory / "containerd")
            node.start()

        self._each(start)

    def join(self, say: Say) -> None:
        """Start the kubelets, and wait until all nodes are ready.

        Raises:
            LabError: One does not get ready.
        """
        began = time.monotonic()
        self._each(lambda node: node.join(self.control_plane))
        for node in self.nodes:
            self._wait(node, f"node/{node.name}", "--for=create")
            self._wait(node, f"node/{node.name}", "--for=condition=Ready")
        say(
            f"kubelets of {', '.join(node.name for node in self.nodes)}: ready after "
            f"{time.monotonic() - began:.1f} s"
        )

    def wait_components(self) -> None:
        """Wait until operator and agents are as the manifests want them.

        Raises:
            LabError: They are not; with what their pods have come to.
        """
        try:
            for each in (OPERATOR, AGENT):
                self._patiently("-n", NAMESPACE, "rollout", "status", each)
        except KubectlError as error:
            pods = self.kubectl.run("-n", NAMESPACE, "get", "pods,events")
            raise LabError(f"vmferry does not get ready: {error}\n{pods}") from error

    def pods(self, component: str) -> list[Pod]:
        """The pods of `operator` or `agent`, those that are about to end among them."""
        label = f"app.kubernetes.io/component={component}"
        found = json.loads(self.kubectl.run("-n", NAMESPACE, "get", "pods", "-l", label, "-o", "json"))
        return [Pod(each, self.kubectl) for each in found["items"]]

    def agent(self, node: str) -> Pod:
        """The pod of a node's agent that is not about to end.

        Raises:
            LabError: There is none.
        """
        for each in self.pods("agent"):
            if each.node == node and not each.ends:
                return each
        raise LabError(f"no agent's pod is on {node}")

    def load(self, archive: Path) -> None:
        """Bring one more image to all nodes.

        Raises:
            LabError: It is none.
        """
        self._each(lambda node: node.ctr("images", "import", str(archive)))

    def _wait(self, node: ClusterNode, *words: str) -> None:
        try:
            self._patiently("wait", *words)
        except KubectlError as error:
            log = self.lab / "logs" / f"{node.component(Service.KUBELET)}.log"
            raise LabError(f"{node.name} does not get ready: {error}\n{processes.tail(log)}") from error

    def _patiently(self, *words: str) -> None:
        self.kubectl.run(*words, f"--timeout={_READY:.0f}s", timeout=_READY + TIMEOUT)

    def _each(self, act: Callable[[ClusterNode], object]) -> None:
        with ThreadPoolExecutor() as pool:
            for _ in pool.map(act, self.nodes):
                pass
