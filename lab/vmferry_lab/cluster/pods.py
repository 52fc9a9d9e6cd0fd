"""What runs in the pods of a lab: images, and the shipped manifests with what an administrator has to say."""

import grp
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from vmferry_lab.directories import CHECKOUT, MANIFESTS
from vmferry_lab.errors import LabError
from vmferry_lab.hosts.node_files import GROUP, GROUP_ID

COMPONENTS = ("libvirt-configuration",)
"""What of `manifests/components` the nodes need: QEMU's user and capabilities are not libvirt's defaults there."""
_AGENT = {"group": "apps", "kind": "DaemonSet", "name": "vmferry-agent"}


def kustomization(*, directory: Path, overlay: Path, components: Sequence[Path], group: int) -> str:
    """A kustomization of the shipped one for hosts whose libvirt group has a number.

    Args:
        directory: Where it is to lie.
        overlay: The shipped one.
        components: More of what is shipped.
        group: The number of the group that may use libvirt's socket.
    """
    groups = {
        "op": "replace",
        "path": "/spec/template/spec/securityContext/supplementalGroups",
        "value": [group],
    }
    content: dict[str, Any] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(overlay, directory)],
        "components": [os.path.relpath(each, directory) for each in components],
        "patches": [{"target": _AGENT, "patch": json.dumps([groups])}],
    }
    return yaml.safe_dump(content)


@dataclass(frozen=True, kw_only=True)
class Pods:
    """What a new cluster is to run.

    Attributes:
        archives: The images that its nodes have.
        overlay: A directory of `manifests`.
    """

    archives: Sequence[Path]
    overlay: Path

    @classmethod
    def shipped(cls, *, overlay: str = "overlays/ha", components: bool = True) -> Self:
        """What `make images` has built, by one of the shipped overlays.

        Args:
            overlay: A directory of `manifests`.
            components: Whether operator and agents are among it; otherwise the API alone.

        Raises:
            LabError: There are no images, or there is no such overlay.
        """
        if not components:
            return cls(archives=[], overlay=CHECKOUT / "crds")
        archives = [archive_of(each) for each in ("operator", "agent")]
        if missing := [str(each) for each in archives if not each.is_file()]:
            raise LabError(f"there is no image {' nor '.join(missing)}; run `make images` first")
        if not (MANIFESTS / overlay / "kustomization.yaml").is_file():
            raise LabError(f"there is no {MANIFESTS / overlay}/kustomization.yaml")
        return cls(archives=archives, overlay=MANIFESTS / overlay)

    def write(self, directory: Path) -> Path:
        """Write the kustomization for the nodes of this machine's labs; the directory that is to be applied."""
        if not self.archives:
            return self.overlay
        directory.mkdir(exist_ok=True)
        text = kustomization(
            directory=directory.resolve(),
            overlay=self.overlay,
            components=[MANIFESTS / "components" / each for each in COMPONENTS],
            group=libvirt_group(),
        )
        (directory / "kustomization.yaml").write_text(text)
        return directory


def archive_of(component: str) -> Path:
    """Where `make images` leaves the image of `operator` or `agent`."""
    return CHECKOUT / "dist" / "images" / f"vmferry-{component}.tar"


def libvirt_group() -> int:
    """The number of libvirt's group on the nodes: the machine's, or that which a node gives it."""
    try:
        return grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return GROUP_ID
