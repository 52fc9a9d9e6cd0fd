"""What may be done by the addresses by which hosts reach each other, and what encryption needs of them.

The target's agent tells them, and the source's daemon, as root, does what they say.
"""

import re
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

_DAEMON = re.compile(
    r"(?=[!-~]*\Z)qemu(\+(tls|tcp|ssh|libssh2?|unix))?"
    r"://([^@/?#]*@)?(\[[^]@/?#]+\]|[\w.-]*)(:\d+)?/(system|session)(\?[^#]*)?",
    re.ASCII | re.IGNORECASE,
)
"""A QEMU driver's daemon. By `ext` libvirt runs a program, and other drivers are nobody's target."""
_PLAIN = {"tcp", "ext"}
"""Transports of libvirt's URIs that encrypt nothing by themselves; `ext` is a program that may or may not."""
_VERIFIES = {"no_verify": "0", "known_hosts_verify": "normal"}
"""The parameters by which the other end is not looked at, each with the one value by which it is."""
_WAY_OUT = "give the target's agent a --connect-uri of qemu+tls://HOST/system"


def why_refused(connect_uri: str) -> str | None:
    """Why no daemon may be told to connect by this, encrypted or not; None: it may.

    By some URIs libvirt does not connect, but runs a program of its own host.
    """
    try:
        is_daemon = _DAEMON.fullmatch(connect_uri) is not None and urlsplit(connect_uri).port != 0
    except ValueError:
        is_daemon = False
    if not is_daemon:
        return f"{connect_uri} is no address of a QEMU host's daemon; {_WAY_OUT}"
    if "command" in _parameters(connect_uri):
        return f"{connect_uri} names a program that the source's daemon would run (command); {_WAY_OUT}"
    return None


def why_readable(*, connect_uri: str | None, migration_uri: str | None) -> str | None:
    """Why something of an encrypted migration could be read, or changed, on its way; None: nothing could.

    The stream itself is QEMU's to encrypt. Beside it the daemons pass the domain's XML and what they agree on for
    the stream, by a connection of their own; and by RDMA QEMU encrypts nothing, whatever it is told.

    Args:
        connect_uri: How the source's daemon reaches the target's; None: not known yet.
        migration_uri: Where the target's QEMU listens; None: where libvirt chooses, by TCP.
    """
    if migration_uri is not None and _scheme(migration_uri) == "rdma":
        return (
            f"the migration URI is {migration_uri}, and QEMU encrypts nothing that goes by RDMA; "
            "give the target's agent a --migration-uri of tcp://HOST"
        )
    if connect_uri is None:
        return None
    _, _, transport = _scheme(connect_uri).partition("+")
    if transport in _PLAIN:
        return f"the daemons would talk by {connect_uri}, which is not encrypted; {_WAY_OUT}"
    parameters = _parameters(connect_uri)
    for name, safe in _VERIFIES.items():
        if parameters.get(name, safe) != safe:
            return f"by {connect_uri} anybody could pose as the target ({name}); {_WAY_OUT}"
    if "tls_priority" in parameters:
        return f"by {connect_uri} TLS may be without encryption (tls_priority); {_WAY_OUT}"
    return None


def _scheme(uri: str) -> str:
    return uri.partition(":")[0].lower()


def _parameters(uri: str) -> Mapping[str, str]:
    """Those of a URI as libvirt reads them: names in any case, `;` like `&`; the last one of a name counts."""
    query = uri.partition("#")[0].partition("?")[2]
    pairs = (each.partition("=") for each in re.split("[&;]", query))
    return {unquote(name).lower(): unquote(value) for name, _, value in pairs}
