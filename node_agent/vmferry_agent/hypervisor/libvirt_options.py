"""Start options as flags and parameters of migrateToURI3."""

import libvirt

from vmferry_agent.hypervisor.port import HypervisorError
from vmferry_api.policies import Compression, CompressionMethod, Encryption, StartOptions

_PAGE = 4096
_SINCE_METHODS = {
    CompressionMethod.XBZRLE: "VIR_MIGRATE_PARAM_COMPRESSION_XBZRLE_CACHE",
    CompressionMethod.ZLIB: "VIR_MIGRATE_PARAM_COMPRESSION_ZLIB_LEVEL",
    CompressionMethod.ZSTD: "VIR_MIGRATE_PARAM_COMPRESSION_ZSTD_LEVEL",
}
"""The methods' names are no constants; the constant that came with a method tells whether libvirt knows it.

libvirt 9.0's `mt`, zlib in threads of its own, is none of them: QEMU refuses it in parallel connections.
"""


def option_flags(options: StartOptions) -> int:
    """The flags.

    Raises:
        HypervisorError: libvirt here is too old for one of them.
    """
    wanted = {
        "VIR_MIGRATE_AUTO_CONVERGE": options.auto_converge is not None,
        "VIR_MIGRATE_COMPRESSED": options.compression is not None,
        "VIR_MIGRATE_PARALLEL": options.parallel_connections is not None,
        "VIR_MIGRATE_ZEROCOPY": bool(options.zero_copy),
        "VIR_MIGRATE_TLS": options.encryption == Encryption.REQUIRED,
    }
    flags = 0
    for name, given in wanted.items():
        if given:
            flags |= _flag(name)
    return flags


def option_parameters(options: StartOptions) -> dict[str, int | str]:
    """The parameters.

    Raises:
        HypervisorError: libvirt here is too old for one of them.
    """
    parameters: dict[str, int | str] = {}
    if options.auto_converge is not None:
        parameters[_parameter("VIR_MIGRATE_PARAM_AUTO_CONVERGE_INITIAL")] = options.auto_converge.initial
        parameters[_parameter("VIR_MIGRATE_PARAM_AUTO_CONVERGE_INCREMENT")] = options.auto_converge.increment
    if options.compression is not None:
        parameters |= _compression(options.compression)
    if options.parallel_connections is not None:
        parameters[_parameter("VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS")] = options.parallel_connections
    return parameters


def _compression(compression: Compression) -> dict[str, int | str]:
    since = _parameter(_SINCE_METHODS[compression.method])
    parameters: dict[str, int | str] = {
        _parameter("VIR_MIGRATE_PARAM_COMPRESSION"): compression.method.value.lower()
    }
    if compression.method == CompressionMethod.XBZRLE and compression.cache_size is not None:
        parameters[since] = cache_size(compression.cache_size)
    return parameters


def cache_size(size: int) -> int:
    """The nearest size of XBZRLE's cache that QEMU takes: a power of two, and a page at least."""
    return max(_PAGE, 1 << (size.bit_length() - 1) if size > 0 else 0)


def _flag(name: str) -> int:
    _check(name)
    return int(getattr(libvirt, name))


def _parameter(name: str) -> str:
    _check(name)
    return str(getattr(libvirt, name))


def _check(name: str) -> None:
    if not hasattr(libvirt, name):
        major, rest = divmod(libvirt.getVersion(), 1_000_000)
        raise HypervisorError(f"this agent's libvirt {major}.{rest // 1000} is too old: it has no {name}")
