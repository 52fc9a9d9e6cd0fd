"""A node's certificates, as an administrator changes them."""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from vmferry_lab.controlplane.certificates import Authority, KeyPair
from vmferry_lab.hosts.commands import run
from vmferry_lab.hosts.node import NodeHost

INSTALL = Path(__file__).parents[3] / "manifests" / "examples" / "cert-manager" / "install-certificates.sh"
RELOAD = ["virt-admin", "server-update-tls", "libvirtd"]
QEMU_GROUP = "root"
"""In which the lab's nodes run QEMU (node_files.qemu_conf)."""


@dataclass(frozen=True)
class Certificates:
    """Those of one node."""

    node: NodeHost

    def issued(
        self, authority: Authority, *, name: str | None = None, lifetime: timedelta = timedelta(days=30)
    ) -> KeyPair:
        """A certificate for it; for another host, where another name is given."""
        address = str(self.node.network.data_address(self.node.name))
        return authority.for_host(name or self.node.name, [] if name else [address], lifetime)

    def read(self) -> dict[Path, bytes]:
        """All files."""
        return {file: file.read_bytes() for file in self.node.certificates.rglob("*.pem")}

    def write(self, files: Mapping[Path, bytes]) -> None:
        """These files and no others."""
        for each in self.node.certificates.iterdir():
            shutil.rmtree(each) if each.is_dir() else each.unlink()
        for file, content in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    def reload(self) -> None:
        """Have libvirtd read its own anew."""
        run([*self.node.command(), *RELOAD])

    def of_qemu(self, pair: KeyPair) -> None:
        """Replace QEMU's own alone."""
        self._replace("qemu", "-", pair)

    def of_libvirt(self, pair: KeyPair) -> None:
        """Replace libvirt's own alone."""
        self._replace("libvirt", "", pair)

    def install(self, secret: Path, authorities: Path, programs: Path | None = None) -> str:
        """Run what the docs show, in the node; what it says.

        Args:
            secret: What a pod sees of its Secret.
            authorities: Those whose word is taken.
            programs: A directory with all programs that there are.
        """
        words = [str(INSTALL), str(secret), str(authorities), "/etc/pki", QEMU_GROUP]
        path = [] if programs is None else ["env", f"PATH={programs}"]
        return subprocess.run(
            [*self.node.command(), *path, *words], capture_output=True, text=True, check=True, timeout=30
        ).stdout

    def _replace(self, directory: str, separator: str, pair: KeyPair) -> None:
        for role in ("server", "client"):
            for what, content in (("cert", pair.certificate), ("key", pair.key)):
                file = f"{role}{separator}{what}.pem"
                (found,) = (self.node.certificates / directory).rglob(file)
                found.write_bytes(content.read_bytes())


def as_secret(pair: KeyPair, directory: Path) -> Path:
    """A pair as a pod sees a Secret of cert-manager's."""
    directory.mkdir(parents=True)
    shutil.copy(pair.certificate, directory / "tls.crt")
    shutil.copy(pair.key, directory / "tls.key")
    return directory
