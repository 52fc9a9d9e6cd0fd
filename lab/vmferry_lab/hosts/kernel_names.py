"""What the kernel's objects of a lab are called, so that `down` finds them without any record."""

import hashlib
from pathlib import Path


def namespaces(lab: Path) -> str:
    """How the names of its network namespaces begin."""
    return f"vmferry-{_tag(lab)}-"


def interfaces(lab: Path) -> str:
    """How the names of its interfaces on this machine begin; Linux takes 15 characters, this leaves three."""
    return f"vmf{_tag(lab)}-"


def cgroups(lab: Path) -> str:
    """How the names of its nodes' control groups begin."""
    return f"vmferry-{_tag(lab)}-"


def _tag(lab: Path) -> str:
    return hashlib.sha256(str(lab).encode()).hexdigest()[:8]
