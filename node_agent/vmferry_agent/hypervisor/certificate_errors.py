"""What to do about certificates that libvirt, QEMU or their peers refuse; they say what, and not on which host."""

import re

_FILE = re.compile(r"(server|client)-?(?:cert|key)\.pem")
_OWN = ("has expired", "not yet active", "failed validation", "Unable to access credentials", "usage")
"""Of one of the host's own files, before anything is sent."""
_HOSTS = {"server": "target", "client": "source"}
_PEERS = {
    "TLS channel": "the QEMUs don't take each other's certificates: both need an authority in common in "
    "ca-cert.pem, the source a client-cert.pem, and the target a server-cert.pem that names the host of its "
    "--migration-uri, or its --tls-destination",
    "Failed to verify peer's certificate": "the target's servercert.pem must name the host of its "
    "--connect-uri, and be signed by an authority in the source's cacert.pem",
    "Unable to read TLS confirmation": "the target's libvirtd has refused the source: it needs a clientcert.pem "
    "that an authority in the target's cacert.pem has signed",
    "ca-cert.pem: No such file": "one of the hosts has no certificates for QEMU: vmferry-agent check tells which",
    "Cannot read CA certificate": "the source has no certificates for libvirt: put them into /etc/pki",
}
"""What is said, and what to do."""


def advice(said: str) -> str | None:
    """What to do, and on which host; None: it is not about certificates.

    Args:
        said: libvirt's message of a migration that did not start, or has failed.
    """
    found = next((what for words, what in _PEERS.items() if words in said), None)
    if found is not None:
        return found
    file = _FILE.search(said)
    if file is None or not any(words in said for words in _OWN):
        return None
    return f"renew {file[0]} on the {_HOSTS[file[1]]}"
