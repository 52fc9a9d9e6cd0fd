"""What libvirt's errors mean to the agent (docs/libvirt.md has each of them)."""

import libvirt

from vmferry_agent.hypervisor.certificate_errors import advice
from vmferry_agent.hypervisor.port import (
    HypervisorError,
    HypervisorUnreachable,
    MigrationAborted,
    MigrationRunsAlready,
    StreamHeld,
    TargetHalfLost,
)

_LONGEST_MESSAGE = 1000
"""Characters; libvirt quotes all that QEMU has said, and status has bounds."""
_ANOTHER = "another migration job is already running"
"""What libvirt says then; the code that comes with it means many things."""
_STREAM_HELD = (
    "migration is still running",
    "being actively monitored by another thread",
    "already in progress",
)
"""What libvirt says while a post-copy can't be taken up again yet."""
_NO_HALF = "is not processing incoming migration"
"""What the target says of a domain that is down."""
_UNSAFE = (
    "name a shared file system that libvirt does not know in shared_filesystems in qemu.conf, give the disks "
    "cache='none', or have them copied (spec.storage)"
)
_LOST = {libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_ERR_NO_CONNECT}
_LOST_IN = {libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE}


def translated(error: libvirt.libvirtError) -> HypervisorError:
    """What an error means, with libvirt's message and code."""
    code = error.get_error_code()
    said = (error.get_error_message() or str(error))[:_LONGEST_MESSAGE]
    message = f"{said} (libvirt error {code})"
    to_do = advice(said)
    if to_do is not None:
        message = f"{message}; {to_do}"
    if code == libvirt.VIR_ERR_MIGRATE_UNSAFE:
        return HypervisorError(f"{message}; {_UNSAFE}")
    if code == libvirt.VIR_ERR_OPERATION_ABORTED:
        return MigrationAborted(message)
    if code == libvirt.VIR_ERR_OPERATION_INVALID and _ANOTHER in said:
        return MigrationRunsAlready(message)
    lost = code in _LOST and error.get_error_domain() in _LOST_IN
    if lost or code == libvirt.VIR_ERR_OPERATION_TIMEOUT:  # another job has held the domain for 30 s
        return HypervisorUnreachable(message)
    return HypervisorError(message)


def translated_resumption(error: libvirt.libvirtError) -> HypervisorError:
    """Of a post-copy that could not be taken up again; that the domain is here has been seen before."""
    said = error.get_error_message() or ""
    meaning = translated(error)
    if any(words in said for words in _STREAM_HELD):
        return StreamHeld(str(meaning))
    if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN or _NO_HALF in said:
        return TargetHalfLost(str(meaning))
    return meaning
