"""What of a lab runs pods: its nodes' services, and vmferry in pods of the shipped images."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from vmferry_lab import processes
from vmferry_lab.cache import Say
from vmferry_lab.cluster import images
from vmferry_lab.cluster.binaries import ClusterBinaries
from vmferry_lab.cluster.node import ClusterNode, Service, prepare
from vmferry_lab.controlplane.control_plane import ControlPlane
from vmferry_lab.errors import LabError
from vmferry_lab.kubectl import Kubectl, KubectlError

NAMESPACE = "vmferry-system"
OPERATOR, AGENT = "deployment/vmferry-operator", "daemonset/vmferry-agent"
_READY = "50s"


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
                self.kubectl.run("-n", NAMESPACE, "rollout", "status", each, f"--timeout={_READY}")
        except KubectlError as error:
            pods = self.kubectl.run("-n", NAMESPACE, "get", "pods,events")
            raise LabError(f"vmferry does not get ready: {error}\n{pods}") from error

    def load(self, archive: Path) -> None:
        """Bring one more image to all nodes.

        Raises:
            LabError: It is none.
        """
        self._each(lambda node: node.ctr("images", "import", str(archive)))

    def _wait(self, node: ClusterNode, *words: str) -> None:
        try:
            self.kubectl.run("wait", f"--timeout={_READY}", *words)
        except KubectlError as error:
            log = self.lab / "logs" / f"{node.component(Service.KUBELET)}.log"
            raise LabError(f"{node.name} does not get ready: {error}\n{processes.tail(log)}") from error

    def _each(self, act: Callable[[ClusterNode], object]) -> None:
        with ThreadPoolExecutor() as pool:
            for _ in pool.map(act, self.nodes):
                pass
