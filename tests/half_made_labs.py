"""Labs that stand half made, since whoever made them was killed."""

import subprocess
import sys
import tempfile
from pathlib import Path

from vmferry_lab import processes
from vmferry_lab.hosts.kinds import HostsKind
from vmferry_lab.lab import Lab
from vmferry_lab.until import until

_PATIENCE = 60.0


def half_made_lab(kind: HostsKind) -> Lab:
    """A lab of two hosts, without components, whose `vmferry-lab up` was killed among its first processes."""
    lab = Lab(Path(tempfile.mkdtemp(prefix="vmf-")))
    words = [sys.executable, "-m", "vmferry_lab", "--dir", str(lab.directory), "up", "--no-components"]
    creator = subprocess.Popen([*words, "--hosts-kind", kind], stdout=subprocess.DEVNULL)
    until(
        "two first processes",
        lambda: {"etcd", "libvirtd-node-b"} <= processes.components_of(lab.directory),
        timeout=_PATIENCE,
        interval=0.01,
    )
    creator.kill()
    creator.wait(timeout=_PATIENCE)
    return lab
