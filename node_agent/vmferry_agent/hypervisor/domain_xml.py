"""What a domain needs of another host, read from its XML."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator

from vmferry_api.migrations import Disk, Hardware

_LONGEST_CPU = 8192
"""Characters that status takes."""
_MOST_DISKS = 64
_CHECKED = {"partial", "full"}
"""How libvirt says that what the XML tells of a processor is what the guest has."""
_DISPENSABLE = {"requisite", "optional"}
"""startupPolicy of a disk that the guest is started without where it is missing."""


def hardware(xml: str) -> Hardware:
    """What the domain needs.

    It is read from the XML of the running domain, not from the one that a migration sends: only there is the
    processor told with the features that QEMU has really given to the guest, and these are what libvirt asks of
    the target. The other one tells what was once asked for (`check='none'`): hosts that lack some of it run the
    guest all the same, and take it in all the same.

    Args:
        xml: Of the running domain (virDomainGetXMLDesc without flags).
    """
    domain = ET.fromstring(xml)  # noqa: S314 - libvirt's own
    system = domain.find("os/type")
    return Hardware(
        type=domain.get("type", ""),
        arch="" if system is None else system.get("arch", ""),
        machine=None if system is None else system.get("machine"),
        emulator=domain.findtext("devices/emulator"),
        cpu=_cpu(domain.find("cpu")),
        disks=list(_disks(domain))[:_MOST_DISKS],
    )


def _cpu(cpu: ET.Element | None) -> str | None:
    """A processor that hosts can be compared by: of its own features, and what is told is what it has."""
    if cpu is None or cpu.get("mode", "custom") != "custom" or cpu.get("check") not in _CHECKED:
        return None
    text = " ".join(ET.tostring(cpu, encoding="unicode").split())
    return text if len(text) <= _LONGEST_CPU else None


def _disks(domain: ET.Element) -> Iterator[Disk]:
    """Those with a path; read-only ones, too: the target has to open them like any other.

    Backing files are left out: whether the target needs them depends on what becomes of the disk.
    """
    for disk in domain.iterfind("devices/disk"):
        source = disk.find("source")
        if source is None or source.get("startupPolicy") in _DISPENSABLE:
            continue
        path = source.get("file") or source.get("dev")
        if path is not None and disk.get("type") in {"file", "block"}:
            kept = disk.find("readonly") is not None or disk.find("shareable") is not None
            yield Disk(path=path, copied=not kept)
