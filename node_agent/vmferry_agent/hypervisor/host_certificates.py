"""The certificates by which this host is known to others, as far as this process may see them."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from vmferry_agent.decisions.certificates import latest_end, not_after
from vmferry_agent.hypervisor.features import FILES, Files, qemu_certificates
from vmferry_agent.hypervisor.libvirt_daemons import Daemon


def certificates_end(daemon: Daemon | None, files: Files = FILES) -> dict[str, datetime]:
    """When each ends, by its file; what can't be read, or is none, is left out.

    Of a file of authorities the last one counts: an old one may stay beside the new one until nobody uses it.

    Args:
        daemon: What is known of the daemon; only of the system's it is known where it looks.
        files: Where to look.
    """
    if daemon is None or not daemon.system:
        return {}
    qemu = qemu_certificates(daemon, files)
    wanted: dict[Path, Callable[[str], datetime]] = {
        files.authorities: latest_end,
        files.libvirt_certificates / "servercert.pem": not_after,
        files.libvirt_certificates / "clientcert.pem": not_after,
        qemu / "ca-cert.pem": latest_end,
        qemu / "server-cert.pem": not_after,
        qemu / "client-cert.pem": not_after,
    }
    found = ((file, _end(file, read)) for file, read in wanted.items())
    return {str(file): end for file, end in found if end is not None}


def _end(file: Path, read: Callable[[str], datetime]) -> datetime | None:
    try:
        return read(file.read_text())
    except (OSError, ValueError):
        return None
