"""What is wrong with a host, or with the agent's rights, and what to do about it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from vmferry_api.features import Feature

_SOCKET = re.compile(r"Failed to connect socket to '([^']+)': (.*)")
_NO_CONNECT = 5
"""VIR_ERR_NO_CONNECT: no driver takes the URI."""
_AUTH_FAILED, _ACCESS_DENIED, _AUTH_UNAVAILABLE = 45, 88, 94
_NO_RIGHT = {_AUTH_FAILED, _ACCESS_DENIED, _AUTH_UNAVAILABLE}
_DBUS, _POLKIT = 47, 60
"""VIR_FROM_DBUS, VIR_FROM_POLKIT."""
_CLOSED = (
    "SocketGroup=libvirt and SocketMode=0660 in /etc/systemd/system/libvirtd.socket.d/vmferry.conf (or "
    "virtqemud.socket.d; without systemd's sockets, unix_sock_group and unix_sock_rw_perms in the daemon's "
    "configuration)"
)
_HOW = "docs/agent.md, what the host must have"
_NOT_POLKIT = (
    f'close its socket to others first ({_CLOSED}); then set auth_unix_rw = "none" in '
    f"/etc/libvirt/libvirtd.conf (virtqemud.conf), restart both, and run the agent in that group ({_HOW})"
)


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """The agent works, but for something that policies may ask for."""
    ERROR = "error"
    """The agent is of no use, or the host open to everybody on it."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    what: str
    cure: str = ""

    def __str__(self) -> str:
        """One line: what it is, and what to do about it."""
        return f"{self.what}: {self.cure}" if self.cure else self.what


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An error of libvirt's."""

    code: int
    domain: int
    message: str


_UNKNOWN = re.compile(r"Failed to find (user|group) record for [ug]id '(\d+)'")
"""Of whoever connects, the daemon looks both up on its host."""


@dataclass(frozen=True, kw_only=True)
class Socket:
    """The Unix socket of a daemon, as far as it can be seen."""

    exists: bool
    is_directory: bool = False
    group: str | None = None
    """The name or number of the group that owns it."""


def socket_named(message: str) -> str | None:
    """The socket that libvirt says it could not connect to."""
    found = _SOCKET.search(message)
    return found[1] if found else None


def not_opened(uri: str, refusal: Refusal, socket: Socket | None) -> Finding:
    """Why the daemon did not open a connection.

    Args:
        uri: The daemon's.
        refusal: What libvirt said.
        socket: What is at the path that it named; None: it named none.
    """
    what = f"{uri} can't be opened: {refusal.message} ({refusal.code}, {refusal.domain})"
    return Finding(level=Level.ERROR, what=what, cure=_cure(refusal, socket))


def _cure(refusal: Refusal, socket: Socket | None) -> str:
    if refusal.domain in {_DBUS, _POLKIT} or refusal.code in _NO_RIGHT:
        return f"the daemon asks polkit about the agent, which has no rule for it: {_NOT_POLKIT}"
    if refusal.code == _NO_CONNECT:
        return "the libvirt client has no driver for this URI; --libvirt-uri must be qemu:///system as a rule"
    if unknown := _UNKNOWN.search(refusal.message):
        return _unknown_cure(unknown[1], unknown[2])
    if socket is None:
        return "look at the daemon's log (journalctl -u libvirtd, -u virtqemud)"
    return _socket_cure(refusal.message, socket)


def _unknown_cure(kind: str, number: str) -> str:
    add = "useradd --system --uid" if kind == "user" else "groupadd --system --gid"
    return (
        f"the daemon knows no {kind} {number}, as whom the agent runs: give the host one of that number "
        f"({add} {number} vmferry)"
    )


def _socket_cure(message: str, socket: Socket) -> str:
    if socket.is_directory:
        return (
            "the socket is a directory: it was mounted as a file while the daemon was down. Remove it on the host "
            "(rmdir), restart the daemon, and mount the directory /run/libvirt instead"
        )
    if "Permission denied" in message:
        group = f"the group {socket.group}" if socket.group else "the group that owns it (ls -l)"
        return f"run the agent in {group}; in a pod, supplementalGroups with its number on this host"
    if not socket.exists:
        return (
            "there is no such socket: start the daemon (systemctl start libvirtd, or virtqemud.socket), and mount "
            "the host's directory /run/libvirt into the pod"
        )
    return "nobody listens there: start the daemon (systemctl start libvirtd, or virtqemud.socket)"


_OTHERS_WRITE, _OTHERS_PASS = 0o002, 0o001


def lets_others(socket: int, directories: Iterable[int]) -> bool:
    """Whether those that are neither its owner nor in its group may connect to a socket (unix(7)).

    Args:
        socket: Its mode.
        directories: The modes of those that it lies in.
    """
    return bool(socket & _OTHERS_WRITE) and all(each & _OTHERS_PASS for each in directories)


def open_to_all(path: str, *, asks: bool | None) -> list[Finding]:
    """What is to be said of a daemon's socket that others may connect to.

    Args:
        path: The socket's.
        asks: Whether the daemon has them say who they are (polkit, SASL); None: that can't be seen from here.
    """
    who = f"every user of this host may connect to {path}, and"
    if asks:
        return []
    if asks is None:
        what = f"{who} whether the daemon then asks who it is can't be seen from here"
        cure = f'where auth_unix_rw is "none", close the socket to others: {_CLOSED}'
        return [Finding(level=Level.WARNING, what=what, cure=cure)]
    what = f"{who} the daemon asks nobody who it is: each of them is as good as root"
    cure = f"close the socket to others: {_CLOSED}; then restart it with the daemon ({_HOW})"
    return [Finding(level=Level.ERROR, what=what, cure=cure)]


def hangs(uri: str, seconds: float) -> Finding:
    """The daemon did not answer in time."""
    return Finding(
        level=Level.ERROR,
        what=f"{uri} has not answered for {seconds:g} s",
        cure="the daemon hangs: restart it (systemctl restart libvirtd); guests and migrations go on meanwhile",
    )


def no_qemu(uri: str, refusal: Refusal) -> Finding:
    """The daemon has no QEMU to run guests with."""
    return Finding(
        level=Level.ERROR,
        what=f"{uri} has no QEMU: {refusal.message} ({refusal.code}, {refusal.domain})",
        cure="install QEMU (qemu-system-x86, qemu-kvm) and libvirt's QEMU driver on this host",
    )


def capable(libvirt_version: str, qemu_version: str, features: Iterable[Feature]) -> list[Finding]:
    """What the host can do, and what it can't."""
    can = frozenset(features)
    named = ", ".join(sorted(can)) or "nothing special"
    found = [Finding(level=Level.OK, what=f"libvirt {libvirt_version}, QEMU {qemu_version}: {named}")]
    if Feature.POST_COPY not in can:
        found.append(
            Finding(
                level=Level.WARNING,
                what="no post-copy: QEMU may not use userfaultfd",
                cure="sysctl vm.unprivileged_userfaultfd=1, or let QEMU's user open /dev/userfaultfd (QEMU 8.1); "
                "where QEMU keeps CAP_SYS_PTRACE by qemu.conf, mount /etc/libvirt into the pod",
            )
        )
    if Feature.TLS not in can:
        found.append(
            Finding(
                level=Level.WARNING,
                what="no encrypted migrations: QEMU has no certificates, or they can't be seen from here",
                cure="put ca-cert, server-cert, server-key, client-cert, client-key (.pem) into /etc/pki/qemu, or "
                "where migrate_tls_x509_cert_dir in qemu.conf says; in a pod, mount that and /etc/libvirt",
            )
        )
    return found


def unread_configuration() -> Finding:
    """The daemon has a qemu.conf that the agent may not read."""
    return Finding(
        level=Level.WARNING,
        what="qemu.conf can't be read, and what it would have to say about counts as lacking",
        cure="let the agent's group read it (chgrp libvirt; chmod g+r, and g+x on the directory /etc/libvirt)",
    )


def reached(uri: str, *, own: str, found: str | None, trouble: str) -> Finding:
    """Where the URI leads that other hosts are told.

    Args:
        uri: The URI.
        own: This host's UUID.
        found: The UUID of the host that it leads to; None: it could not be opened.
        trouble: Why not.
    """
    if found is None:
        return Finding(
            level=Level.WARNING,
            what=f"--connect-uri {uri} does not answer from here: {trouble}",
            cure="see from another host that it does: virsh -c URI hostname. In a pod this proves little: the "
            "daemons' certificates and keys are on the host",
        )
    if found != own:
        return Finding(
            level=Level.ERROR,
            what=f"--connect-uri {uri} leads to another host ({found}, not {own})",
            cure="migrations to this node would end there; give this host's own address",
        )
    return Finding(level=Level.OK, what=f"--connect-uri {uri} leads to this host")


def api_unreachable(said: str) -> Finding:
    """There is no API server to be had."""
    return Finding(
        level=Level.ERROR,
        what=said,
        cure="see that this host reaches it and that the pod has a service account (or KUBECONFIG is set)",
    )


def api_refused(said: str) -> Finding:
    """It answers, and does not let the agent in."""
    return Finding(
        level=Level.ERROR,
        what=f"the API server refuses the agent: {said}",
        cure="see that the credentials are valid; the agent's account is vmferry-agent in its namespace",
    )


def rights(missing: Iterable[str], *, lease: bool) -> list[Finding]:
    """What the agent may do in the cluster.

    Args:
        missing: What of VMMigrations it may not do, such as `patch vmmigrations/status`.
        lease: Whether it may keep its Lease.
    """
    lacks = list(missing)
    cure = "apply manifests/base (agent-rbac.yaml), and run the agent as the service account vmferry-agent"
    found = [Finding(level=Level.ERROR, what=f"no right to {', '.join(lacks)}", cure=cure)] if lacks else []
    if not lease:
        found.append(Finding(level=Level.WARNING, what="no right to keep its Lease", cure=cure))
    return found or [Finding(level=Level.OK, what="the API server lets the agent do what it must")]
