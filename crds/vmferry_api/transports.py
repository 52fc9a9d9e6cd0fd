"""What may be done by the addresses by which hosts reach each other, and what encryption needs of them.

The target's agent tells them, and the source's daemon, as root, does what they say.
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from urllib.parse import unquote, urlsplit

_LABEL = "[A-Za-z0-9_][A-Za-z0-9_-]{0,62}"
_NAME = rf"{_LABEL}(\.{_LABEL})*\.?"
"""Of a host, or of a user there; what begins with `-` would be an option to ssh."""
_HOST = rf"({_NAME}|\[[0-9A-Fa-f:.]+\])(:[1-9][0-9]{{0,4}})?"
_FLAG = "[01]"
_TLS = {"no_verify": _FLAG, "tls_priority": "[A-Za-z0-9:+@.,!_-]+"}
_SSH = {
    "keyfile": "[A-Za-z0-9_./-]+",
    "known_hosts_verify": "(normal|auto|ignore)",
    "mode": "(auto|direct|legacy)",
    "no_tty": _FLAG,
    "no_verify": _FLAG,
    "proxy": "(auto|netcat|native)",
    "sshauth": "[a-z,-]+",
}
_UNIX = {"socket": "/[A-Za-z0-9_./:,@+~-]+"}
_PARAMETERS: Mapping[str, Mapping[str, str]] = {
    "qemu": _TLS,
    "qemu+tls": _TLS,
    "qemu+tcp": {},
    "qemu+ssh": _SSH,
    "qemu+libssh": _SSH,
    "qemu+libssh2": _SSH,
    "qemu+unix": _UNIX,
}
"""By scheme, the parameters that say no more than how to connect, and the values of each.

libvirt (src/remote/remote_driver.c) takes others: `command` and `netcat` are programs, `name` is what the daemon
at the other end is to open in its turn, `known_hosts` is a file that the source's daemon may write to, `pkipath`
and `authfile` are files by which it trusts and is trusted. What it does not know, it hands on to the other end.
"""


def _daemon(scheme: str, parameters: Mapping[str, str]) -> str:
    given = "|".join(f"{name}={values}" for name, values in parameters.items())
    query = f"(&|[?](({given})&)+)" if given else "&"
    return f"{scheme}://({_NAME}@)?{_HOST}/(system|session){query}"


DAEMONS: Sequence[str] = (
    _daemon("qemu([+]tls)?", _TLS),
    _daemon("qemu[+]tcp", {}),
    _daemon("qemu[+](ssh|libssh2?)", _SSH),
    f"qemu[+]unix:///(system|session)[?]socket={_UNIX['socket']}&",
)
"""Patterns of the addresses of a QEMU driver's daemon, with an `&` at the end, as after every parameter.

Nothing is escaped in them, and nothing but `&` stands between two parameters: all who read one read the same.
"""
STREAM = f"(tcp|rdma)://{_HOST}/?"
"""A pattern of where a target's QEMU listens."""
CERTIFIED = "[A-Za-z0-9_.:-]+"
"""A pattern of the names and addresses that a certificate may hold; to QEMU none at all would be any."""
_PLAIN = {"tcp", "ext"}
"""Transports of libvirt's URIs that encrypt nothing by themselves; `ext` is a program that may or may not."""
_VERIFIES = {"no_verify": "0", "known_hosts_verify": "normal"}
"""The parameters by which the other end is not looked at, each with the one value by which it is."""
_WAY_OUT = "give the target's agent a --connect-uri of qemu+tls://HOST/system"
_STREAM_WAY_OUT = "give the target's agent a --migration-uri of tcp://HOST"


def why_refused(connect_uri: str, *, same_machine: bool = False) -> str | None:
    """Why no daemon may be told to connect by this, encrypted or not; None: it may.

    By some URIs libvirt does more than to connect: it runs programs, on either host, or writes to files.

    Args:
        connect_uri: How the source's daemon is to reach the target's.
        same_machine: Source and target are daemons of one machine: one of its sockets may lead to the target.
    """
    written = f"{connect_uri}&"
    if not any(re.fullmatch(each, written) for each in DAEMONS) or not _can_be_reached(connect_uri):
        return f"{connect_uri} {_trouble(connect_uri)}; {_WAY_OUT}"
    if leads_to_socket(connect_uri) and not same_machine:
        return f"{connect_uri} is a socket of the source's own host; {_WAY_OUT}"
    return None


def why_stream_refused(*, migration_uri: str | None, tls_destination: str | None) -> str | None:
    """Why no memory may be sent there; None: it may.

    Args:
        migration_uri: Where the target's QEMU is said to listen; None: libvirt chooses.
        tls_destination: The name that its certificate is said to hold; None: the host of that.
    """
    if migration_uri is not None and not (
        re.fullmatch(STREAM, migration_uri) and _can_be_reached(migration_uri)
    ):
        return f"{migration_uri} is no address that a QEMU listens at; {_STREAM_WAY_OUT}"
    if tls_destination is not None and not re.fullmatch(CERTIFIED, tls_destination):
        return (
            f"{tls_destination!r} is no name that a certificate holds; "
            "give the target's agent another --tls-destination, or none"
        )
    return None


def leads_to_socket(connect_uri: str) -> bool:
    """Whether it leads to a socket of whichever host goes by it."""
    return _scheme(connect_uri) == "qemu+unix"


def why_readable(*, connect_uri: str | None, migration_uri: str | None) -> str | None:
    """Why something of an encrypted migration could be read, or changed, on its way; None: nothing could.

    The stream itself is QEMU's to encrypt. Beside it the daemons pass the domain's XML and what they agree on for
    the stream, by a connection of their own; and by RDMA QEMU encrypts nothing, whatever it is told.

    Args:
        connect_uri: How the source's daemon reaches the target's; None: not known yet.
        migration_uri: Where the target's QEMU listens; None: where libvirt chooses, by TCP.
    """
    if migration_uri is not None and _scheme(migration_uri) == "rdma":
        return f"QEMU encrypts nothing that goes by RDMA, and {migration_uri} does; {_STREAM_WAY_OUT}"
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


def _can_be_reached(uri: str) -> bool:
    """Whether there can be such a port, and such an address in brackets."""
    try:
        parts = urlsplit(uri)
        if "[" in parts.netloc:
            ipaddress.IPv6Address(parts.hostname or "")
        return parts.port != 0
    except ValueError:
        return False


def _trouble(connect_uri: str) -> str:
    """What is wrong with an address that fits no pattern."""
    address, _, query = connect_uri.partition("?")
    scheme = address.partition(":")[0]
    if scheme not in _PARAMETERS and scheme.lower() in _PARAMETERS:
        return f"must have its scheme in lower case, {scheme.lower()}"
    if "%" in address:
        return "has a zone, or something escaped (%): give the link between the hosts addresses of its own"
    known = _PARAMETERS.get(scheme)
    names = [each.partition("=")[0] for each in query.split("&") if query]
    if known is None or (strange := next((each for each in names if each not in known), None)) is None:
        return "is no address of a QEMU host's daemon"
    return f"has the parameter {strange}, and may have {', '.join(known) or 'none'}"


def _scheme(uri: str) -> str:
    return uri.partition(":")[0].lower()


def _parameters(uri: str) -> Mapping[str, str]:
    """Those of a URI as libvirt reads them: names in any case, `;` like `&`; the last one of a name counts."""
    query = uri.partition("#")[0].partition("?")[2]
    pairs = (each.partition("=") for each in re.split("[&;]", query))
    return {unquote(name).lower(): unquote(value) for name, _, value in pairs}
