"""What an encrypted migration needs of the addresses by which hosts reach each other."""

from urllib.parse import parse_qs, urlsplit

_PLAIN = {"tcp", "ext"}
"""Transports of libvirt's URIs that encrypt nothing by themselves; `ext` is a program that may or may not."""
_WAY_OUT = "give the target's agent a --connect-uri of qemu+tls://HOST/system"


def why_readable(*, connect_uri: str | None, migration_uri: str | None) -> str | None:
    """Why something of an encrypted migration could be read, or changed, on its way; None: nothing could.

    The stream itself is QEMU's to encrypt. Beside it the daemons pass the domain's XML and what they agree on for
    the stream, by a connection of their own; and by RDMA QEMU encrypts nothing, whatever it is told.

    Args:
        connect_uri: How the source's daemon reaches the target's; None: not known yet.
        migration_uri: Where the target's QEMU listens; None: where libvirt chooses, by TCP.
    """
    if migration_uri is not None and urlsplit(migration_uri).scheme == "rdma":
        return (
            f"the migration URI is {migration_uri}, and QEMU encrypts nothing that goes by RDMA; "
            "give the target's agent a --migration-uri of tcp://HOST"
        )
    if connect_uri is None:
        return None
    parts = urlsplit(connect_uri)
    _, _, transport = parts.scheme.partition("+")
    if transport in _PLAIN:
        return f"the daemons would talk by {connect_uri}, which is not encrypted; {_WAY_OUT}"
    if parse_qs(parts.query).get("no_verify", ["0"])[-1] != "0":
        return f"by {connect_uri} anybody could pose as the target (no_verify); {_WAY_OUT}"
    return None
