"""What a host has of what a VM needs, asked of its libvirt daemon. Its functions block: call them in threads."""

from pathlib import PurePosixPath

import libvirt

from vmferry_agent.hypervisor.host_files import HostFiles
from vmferry_agent.hypervisor.port import DiskFound
from vmferry_api.migrations import Hardware

_NO_SUCH_MACHINE = {libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_SYSTEM_ERROR}
"""What the QEMU driver says of an emulator, a type or a machine that it does not have."""


def machine_refused(connection: libvirt.virConnect, hardware: Hardware) -> str | None:
    """Why the host can't run such a machine; None: it can, or can't tell."""
    try:
        connection.getDomainCapabilities(hardware.emulator, hardware.arch, hardware.machine, hardware.type, 0)
    except libvirt.libvirtError as error:
        refused = error.get_error_code() in _NO_SUCH_MACHINE
        return _said(error) if refused and error.get_error_domain() == libvirt.VIR_FROM_QEMU else None
    return None


def cpu_refused(connection: libvirt.virConnect, hardware: Hardware) -> str | None:
    """Why the host can't provide the processor; None: it can, or can't tell, as on most other than x86."""
    if hardware.cpu is None:
        return None
    try:
        connection.compareHypervisorCPU(
            hardware.emulator,
            hardware.arch,
            hardware.machine,
            hardware.type,
            hardware.cpu,
            libvirt.VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE,
        )
    except libvirt.libvirtError as error:
        return _said(error) if error.get_error_code() == libvirt.VIR_ERR_CPU_INCOMPATIBLE else None
    return None


def disk_found(connection: libvirt.virConnect, files: HostFiles | None, path: str) -> DiskFound:
    """What is known of a disk: by its file, and by the pool of its directory, which a copy would be made in."""
    there = None if files is None else files.has(path)
    if there:
        return DiskFound(path=path, there=True)
    try:
        pool = connection.storagePoolLookupByTargetPath(str(PurePosixPath(path).parent))
    except libvirt.libvirtError as error:
        none = error.get_error_code() == libvirt.VIR_ERR_NO_STORAGE_POOL
        return DiskFound(path=path, there=there, pool=False if none else None)
    try:
        pool.refresh(0)  # it knows of files that others have made, and of the room that they take, only then
        room = pool.info()[3]
    except libvirt.libvirtError:
        return DiskFound(path=path, there=there, pool=True)
    return DiskFound(
        path=path, there=_holds(connection, path) if there is None else there, pool=True, room=room
    )


def _holds(connection: libvirt.virConnect, path: str) -> bool | None:
    """Whether a volume of a running pool is at this path; None: it can't be told."""
    try:
        connection.storageVolLookupByPath(path)
    except libvirt.libvirtError as error:
        return False if error.get_error_code() == libvirt.VIR_ERR_NO_STORAGE_VOL else None
    return True


def _said(error: libvirt.libvirtError) -> str:
    return error.get_error_message() or str(error)
