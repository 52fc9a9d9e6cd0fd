"""Looks at the sockets of this host's daemons: who may connect, and whether a daemon asks who it is.

libvirt's API tells neither, so the daemon is asked in its RPC protocol. These functions block for seconds at most.
"""

import os
import socket
import stat
import struct
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from vmferry_agent.decisions.preflight import Finding, lets_others, open_to_all
from vmferry_agent.hypervisor.libvirt_daemons import SYSTEM_CONFIGURATION, read_settings

_RUN = Path("/run/libvirt")
_MONOLITHIC, _QEMU, _PROXY = "libvirtd", "virtqemud", "virtproxyd"
_SOCKETS = {"libvirt-sock": _MONOLITHIC, "virtqemud-sock": _QEMU}
"""Where clients of qemu:///system connect, and whose each is; beside virtqemud, virtproxyd has the first."""
_TIMEOUT = 2.0
_PROGRAM, _VERSION, _AUTH_LIST = 0x20008086, 1, 66
"""libvirt's remote_protocol.x: REMOTE_PROGRAM, REMOTE_PROTOCOL_VERSION, REMOTE_PROC_AUTH_LIST."""
_CALL, _OK = 0, 0
_HEADER = struct.Struct(">7I")
"""Length, program, version, procedure, type, serial, status (virnetprotocol.x)."""
_NONE = 0
"""REMOTE_AUTH_NONE, of the ways to authenticate; others are SASL (1) and polkit (2)."""


def look_at_sockets(uri: str) -> list[Finding]:
    """What is to be said of who gets in at the sockets of a URI; nothing of one where nobody answers."""
    return [finding for path in _sockets(uri) for finding in _look(path)]


def _sockets(uri: str) -> list[Path]:
    parts = urlsplit(uri)
    if given := parse_qs(parts.query).get("socket"):
        return [Path(given[0])]
    return [_RUN / name for name in _SOCKETS] if parts.path == "/system" else []


def _look(path: Path) -> list[Finding]:
    try:
        socket_mode = path.stat().st_mode
        directories = [each.stat().st_mode for each in path.resolve().parents]
    except OSError:
        return []
    if not stat.S_ISSOCK(socket_mode) or not lets_others(socket_mode, directories):
        return []
    ways = ways_to_authenticate(path)
    if ways is None:
        return []
    return open_to_all(str(path), asks=_configured(path) if os.geteuid() == 0 else ways != [_NONE])


def ways_to_authenticate(path: Path) -> list[int] | None:
    """By which of libvirt's ways a daemon has this process say who it is; None: it does not answer.

    Of root it asks nothing, whatever it asks of others.
    """
    with suppress(OSError, struct.error), socket.socket(socket.AF_UNIX) as daemon:
        daemon.settimeout(_TIMEOUT)
        daemon.connect(str(path))
        daemon.sendall(_HEADER.pack(_HEADER.size, _PROGRAM, _VERSION, _AUTH_LIST, _CALL, 0, 0))
        with daemon.makefile("rb") as answers:
            *_, status = _HEADER.unpack(answers.read(_HEADER.size))
            if status == _OK:
                (count,) = struct.unpack(">I", answers.read(4))
                return list(struct.unpack(f">{count}I", answers.read(4 * count)))
    return None


def _configured(path: Path) -> bool | None:
    """Whether the daemon asks others, by its configuration; None: there is none to be seen."""
    daemon = _SOCKETS.get(path.name)
    if daemon == _MONOLITHIC and path.with_name("virtqemud-sock").exists():
        daemon = _PROXY
    try:
        settings = read_settings(SYSTEM_CONFIGURATION.with_name(f"{daemon}.conf").read_text())
    except (OSError, ValueError):
        return None
    return settings.get("auth_unix_rw", "polkit") != "none"
