"""How a migration is started in libvirt: flags and parameters, from a request."""

import libvirt

from vmferry_agent.hypervisor.libvirt_options import option_flags, option_parameters
from vmferry_agent.hypervisor.port import HypervisorError, StartRequest
from vmferry_api.migrations import Storage
from vmferry_api.policies import Encryption
from vmferry_api.transports import why_readable, why_refused, why_stream_refused

_MEBI = 2**20
_UNLIMITED_MEBI = 2**63 // _MEBI - 1
"""libvirt's own value for no cap (QEMU_DOMAIN_MIG_BANDWIDTH_MAX), in MiB/s."""


def refuse_addresses(request: StartRequest, *, same_machine: bool = False) -> None:
    """Connect by no address that is none, and what is to be encrypted by none that leaves part of it readable.

    The operator does not order that; but a start goes by what the target's agent tells at that moment.

    Args:
        request: The start.
        same_machine: The hosts are daemons of one machine, and reach each other by its sockets.

    Raises:
        HypervisorError: It would do something else than to connect, or be readable where it must not be.
    """
    refused = why_refused(request.connect_uri, same_machine=same_machine) or why_stream_refused(
        migration_uri=request.migration_uri, tls_destination=request.tls_destination
    )
    if refused is not None:
        raise HypervisorError(refused)
    if request.options.encryption != Encryption.REQUIRED:
        return
    readable = why_readable(connect_uri=request.connect_uri, migration_uri=request.migration_uri)
    if readable is not None:
        raise HypervisorError(f"encryption is Required, but {readable}")


def flags_of(request: StartRequest) -> int:
    """The flags.

    Raises:
        HypervisorError: libvirt here is too old for one of them.
    """
    flags: int = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER
    if request.persistent:
        flags |= libvirt.VIR_MIGRATE_PERSIST_DEST | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
    if request.post_copy:
        flags |= libvirt.VIR_MIGRATE_POSTCOPY
    if request.storage == Storage.COPY_ALL:
        flags |= libvirt.VIR_MIGRATE_NON_SHARED_DISK
    if request.storage == Storage.COPY_INCREMENTAL:
        flags |= libvirt.VIR_MIGRATE_NON_SHARED_INC
    return flags | option_flags(request.options)


def parameters_of(request: StartRequest) -> dict[str, object]:
    """The parameters; errors as of the flags."""
    parameters: dict[str, object] = {}
    if request.migration_uri is not None:
        parameters[libvirt.VIR_MIGRATE_PARAM_URI] = request.migration_uri
    if request.bandwidth is not None:
        parameters[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] = mebi(request.bandwidth)
    if request.post_copy and request.post_copy_bandwidth is not None:
        parameters[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH_POSTCOPY] = mebi(request.post_copy_bandwidth)
    encrypted = request.options.encryption == Encryption.REQUIRED
    if encrypted and request.tls_destination is not None:
        parameters[libvirt.VIR_MIGRATE_PARAM_TLS_DESTINATION] = request.tls_destination
    return parameters | option_parameters(request.options)


def mebi(value: int | None) -> int:
    """Bytes per second in libvirt's unit, MiB/s."""
    return _UNLIMITED_MEBI if value is None else max(1, value // _MEBI)
