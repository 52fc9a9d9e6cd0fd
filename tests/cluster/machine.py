"""What of the machine a kubelet, containerd and their plugins would change, were they let."""

from pathlib import Path

from vmferry_lab.cluster.node_configuration import SYSCTLS
from vmferry_lab.hosts.commands import run

DIRECTORIES = ("/etc", "/opt", "/usr/libexec", "/var/lib", "/var/log", "/run")
"""Where kubelet, containerd and their plugins have files unless told otherwise."""


def machine() -> dict[str, object]:
    """What could be changed, as it is."""
    return {
        **{name: Path("/proc/sys", name).read_text() for name in SYSCTLS},
        **{each: sorted(path.name for path in Path(each).iterdir()) for each in DIRECTORIES},
        "nat": run(["iptables", "-w", "-t", "nat", "-S"]),
    }
