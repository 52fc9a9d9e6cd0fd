"""The capabilities of a process, as the kernel tells them (capabilities(7))."""

import re
from pathlib import Path

NET_ADMIN = 12
SYS_PTRACE = 19
"""The bits (linux/capability.h)."""


def has_capability(capability: int, kind: str, status: Path = Path("/proc/self/status")) -> bool:
    """Whether a process has it; what can't be read is no.

    Args:
        capability: Its bit.
        kind: In which of its sets, such as CapEff.
        status: The process' status file.
    """
    try:
        mask = re.search(rf"^{kind}:\s*([0-9a-f]+)", status.read_text(), re.MULTILINE)
    except OSError:
        return False
    return mask is not None and bool(int(mask[1], 16) >> capability & 1)
