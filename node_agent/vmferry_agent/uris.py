"""What the URIs that an agent is configured with may be."""

import ipaddress
from urllib.parse import SplitResult, parse_qs, urlsplit

from vmferry_api.transports import why_refused, why_stream_refused

_PATHS = {"/system", "/session"}
_REMOTE = ("qemu+tls", "qemu+tcp", "qemu+ssh", "qemu+libssh2", "qemu+libssh", "qemu")


def libvirt_uri(text: str) -> str:
    """The URI of this host's own daemon.

    Raises:
        ValueError: It is none; says what is.
    """
    uri = _split(text)
    if uri.scheme not in {"qemu", "qemu+unix"} or uri.path not in _PATHS:
        raise ValueError(
            "must be a QEMU driver's on this host: qemu:///system, qemu:///session, or qemu+unix:///… with socket="
        )
    if uri.hostname:
        raise ValueError(f"leads to {uri.hostname}; an agent looks after its own host: qemu:///system")
    return text


def connect_uri(text: str) -> str:
    """The URI by which other hosts' daemons reach this one's.

    Raises:
        ValueError: They can't; says by what they can.
    """
    _check_leads_here(_split(text))
    refused = why_refused(text, same_machine=True)  # by the agents of the others
    if refused is not None:
        raise ValueError(refused)
    return text


def _check_leads_here(uri: SplitResult) -> None:
    if uri.scheme == "qemu+unix" and uri.path in _PATHS and parse_qs(uri.query).get("socket"):
        return  # hosts that share one machine
    if uri.scheme not in _REMOTE or uri.path not in _PATHS:
        raise ValueError(
            f"must be one of {'|'.join(_REMOTE[:3])}://HOST/system, by which other hosts reach this one"
        )
    if not uri.hostname:
        raise ValueError("names no host: on another host it would lead to that one itself")
    if _is_loopback(uri.hostname) or _is_wildcard(uri.hostname):
        raise ValueError(f"{uri.hostname} is another host's own; give this host's name or address")


def migration_uri(text: str) -> str:
    """The URI that the source's QEMU connects to.

    Raises:
        ValueError: It can't; says to what it can.
    """
    refused = why_stream_refused(migration_uri=text, tls_destination=None)  # by the agents of the others
    if refused is not None:
        raise ValueError("must be tcp://HOST, tcp://HOST:PORT or rdma://HOST:PORT")
    host = urlsplit(text).hostname or ""
    if _is_wildcard(host):
        raise ValueError(f"{host} is no address to connect to; give this host's")
    return text


def tls_destination(text: str) -> str:
    """The name that the certificate of this host's QEMU holds.

    Raises:
        ValueError: None holds it.
    """
    refused = why_stream_refused(migration_uri=None, tls_destination=text)  # by the agents of the others
    if refused is not None:
        raise ValueError("is no name, or address, that a certificate holds")
    return text


def _split(text: str) -> SplitResult:
    uri = urlsplit(text)
    _ = uri.port  # raises a ValueError of its own
    return uri


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.startswith("localhost.")


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
