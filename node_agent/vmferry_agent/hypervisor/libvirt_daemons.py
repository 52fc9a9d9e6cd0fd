"""What is to be known of a libvirt daemon beyond its API: as whom it runs QEMU, and its qemu.conf."""

import os
import re
import socket
import struct
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import libvirt

from vmferry_agent.capabilities import SYS_PTRACE, has_capability

SYSTEM_CONFIGURATION = Path("/etc/libvirt/qemu.conf")
_PROC = Path("/proc")
_SETTING = re.compile(r'^\s*(\w+)\s*=\s*(?:"([^"\n]*)"|(\d+))\s*(?:#.*)?$', re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Owner:
    """A user and its group, by number."""

    user: int
    group: int


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """A libvirt daemon on this host. What can't be known is None, or as libvirt's defaults have it."""

    system: bool
    """It is the system's (qemu:///system) and run by root, not a user's (qemu:///session)."""
    qemu: Owner | None
    """As whom QEMU runs."""
    settings: Mapping[str, str] | None = field(default_factory=dict)
    """Its qemu.conf; None: it can't be read."""
    ambient_ptrace: bool = False
    """It hands CAP_SYS_PTRACE on to the programs that it starts."""

    def setting(self, name: str) -> str | None:
        """A setting of its qemu.conf that is given."""
        return self.settings.get(name) if self.settings is not None else None


def daemon_behind(connection: libvirt.virConnect) -> Daemon | None:
    """The daemon of a connection; None: it is not on this host, or no driver of QEMU's.

    The system's tells by its capabilities (the label of the security model `dac`) as whom QEMU runs, and has its
    configuration where distributions put it; an agent in a container sees that only if it is mounted there. A
    user's daemon is the process that listens at the socket of the URI, or the agent's own user's.
    """
    uri = urlsplit(connection.getURI())
    if not uri.scheme.startswith("qemu") or uri.hostname:
        return None
    if uri.path == "/system":
        qemu = dac_owner(connection.getCapabilities())
        return Daemon(system=True, qemu=qemu, settings=_settings(SYSTEM_CONFIGURATION))
    path = parse_qs(uri.query).get("socket")
    if path:
        return _listening(path[0])
    own = Owner(user=os.geteuid(), group=os.getegid())
    return Daemon(system=False, qemu=own, settings=_settings(_user_configuration(os.environ)))


def system_daemon(uri: str) -> Daemon | None:
    """The system's daemon by its URI and its configuration alone, without a connection; None: it is a user's."""
    if urlsplit(uri).path != "/system":
        return None
    return Daemon(system=True, qemu=None, settings=_settings(SYSTEM_CONFIGURATION))


def migration_ports(daemon: Daemon | None) -> range:
    """Where its QEMUs listen for migrations: as its qemu.conf says, else libvirt's own."""
    first, last = (
        int(daemon.setting(f"migration_port_{end}") or own) if daemon is not None else own
        for end, own in (("min", 49152), ("max", 49215))
    )
    return range(first, last + 1)


def dac_owner(capabilities: str) -> Owner | None:
    """As whom QEMU runs, by the system daemon's capabilities; None: they do not say."""
    for model in ET.fromstring(capabilities).iterfind("host/secmodel"):  # noqa: S314 - libvirt's own
        label = model.findtext("baselabel[@type='kvm']") or model.findtext("baselabel") or ""
        numbers = re.fullmatch(r"\+?(\d+):\+?(\d+)", label)
        if model.findtext("model") == "dac" and numbers:
            return Owner(user=int(numbers[1]), group=int(numbers[2]))
    return None


def read_settings(text: str) -> dict[str, str]:
    """The settings of a qemu.conf that are one number or one string; lists are left out."""
    return {name: word or number for name, word, number in _SETTING.findall(text)}


def listener(path: str) -> tuple[int, int, int] | None:
    """The process that listens at a Unix socket, its user and its group, by the kernel's word; None: none does."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(2)
            client.connect(path)
            credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    except OSError:
        return None
    process, user, group = struct.unpack("3i", credentials)
    return process, user, group


def _listening(path: str) -> Daemon:
    """The user's daemon that listens at a socket."""
    found = listener(path)
    if found is None:
        return Daemon(system=False, qemu=None, settings=None)
    process, user, group = found
    return Daemon(
        system=False,
        qemu=Owner(user=user, group=group),
        settings=_settings_of(process),
        ambient_ptrace=has_capability(SYS_PTRACE, "CapAmb", _PROC / str(process) / "status"),
    )


def _settings_of(process: int) -> Mapping[str, str] | None:
    try:
        raw = (_PROC / str(process) / "environ").read_bytes()
    except OSError:
        return None
    pairs = (each.partition("=") for each in os.fsdecode(raw).split("\0"))
    return _settings(_user_configuration({name: value for name, _, value in pairs}))


def _user_configuration(environment: Mapping[str, str]) -> Path:
    home = environment.get("XDG_CONFIG_HOME") or f"{environment.get('HOME', '')}/.config"
    return Path(home) / "libvirt" / "qemu.conf"


def _settings(path: Path) -> dict[str, str] | None:
    try:
        return read_settings(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        return None
