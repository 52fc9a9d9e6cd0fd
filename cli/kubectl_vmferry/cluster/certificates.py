"""Certificates as servers show them."""

import socket
import ssl
from urllib.parse import urlsplit

_SECONDS = 5.0
LIBVIRT_TLS = 16514
"""libvirt's port for TLS."""


def shown_by(host: str, port: int) -> bytes | None:
    """The certificate (DER) that a server shows, whoever signed it; None: it shows none to us.

    Only its dates are looked at, so that nothing depends on whether it can be trusted.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout=_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host) as encrypted,
        ):
            return encrypted.getpeercert(binary_form=True)
    except (OSError, ValueError):  # of a name that can be none
        return None


def tls_address(uri: str, *, scheme: str, port: int) -> tuple[str, int] | None:
    """Host and port of a URI of this scheme; None: it is of another one, or none at all."""
    try:
        parts = urlsplit(uri)
        if parts.scheme != scheme or parts.hostname is None:
            return None
        return parts.hostname, parts.port or port
    except ValueError:  # no such port, no such address
        return None
