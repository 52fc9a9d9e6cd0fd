"""What a host can really do, as far as it can be found out without starting a guest."""

import os
from dataclasses import dataclass
from pathlib import Path

from vmferry_agent.hypervisor.libvirt_daemons import Daemon, Owner
from vmferry_api.features import Feature

_SINCE = {
    Feature.PARALLEL: (4_000_000, 5_002_000),
    Feature.ZLIB: (5_000_000, 9_004_000),
    Feature.ZSTD: (5_000_000, 9_004_000),
    Feature.ZERO_COPY: (7_001_000, 8_005_000),
}
"""The first QEMU and the first libvirt that can do it, in libvirt's numbering of versions."""
_USERFAULTFD_DEVICE_SINCE = 8_001_000
"""A QEMU that opens /dev/userfaultfd; earlier ones know the system call only."""
_CERTIFICATES = ("ca-cert.pem", "server-cert.pem")


@dataclass(frozen=True, kw_only=True)
class Files:
    """Where the host keeps what features depend on."""

    unprivileged_userfaultfd: Path = Path("/proc/sys/vm/unprivileged_userfaultfd")
    userfaultfd: Path = Path("/dev/userfaultfd")
    migration_certificates: Path = Path("/etc/pki/libvirt-migrate")
    certificates: Path = Path("/etc/pki/qemu")
    authorities: Path = Path("/etc/pki/CA/cacert.pem")
    libvirt_certificates: Path = Path("/etc/pki/libvirt")


FILES = Files()


def features(
    *, qemu_version: int, libvirt_version: int, daemon: Daemon | None, files: Files = FILES
) -> frozenset[Feature]:
    """The features of a host. What can't be known is left out.

    By version alone: parallel connections, and compression in them; whether QEMU was built with zstd would only
    tell a QEMU that is started for it, and a start with it is refused in QEMU's own words where it was not.

    Args:
        qemu_version: QEMU's, in libvirt's numbering (7.2.0 is 7002000).
        libvirt_version: The lower one of the daemon's and this agent's.
        daemon: What is known of the daemon; None: nothing.
        files: Where to look.
    """
    found = {
        feature
        for feature, (qemu, library) in _SINCE.items()
        if qemu_version >= qemu and libvirt_version >= library
    }
    if daemon is None or not can_lock_memory(daemon):
        found.discard(Feature.ZERO_COPY)
    if daemon is not None and may_use_userfaultfd(daemon, qemu_version, files):
        found.add(Feature.POST_COPY)
    if daemon is not None and has_certificates(daemon, files):
        found.add(Feature.TLS)
    return frozenset(found)


def can_lock_memory(daemon: Daemon) -> bool:
    """Whether the daemon may let QEMU lock the memory that it sends without copying: the system's may."""
    return daemon.system


def may_use_userfaultfd(daemon: Daemon, qemu_version: int, files: Files = FILES) -> bool:
    """Whether QEMU may use userfaultfd for faults in the kernel, too, without which there is no post-copy.

    One of these must hold. `vm.unprivileged_userfaultfd` is 1. Or QEMU keeps CAP_SYS_PTRACE: qemu.conf has
    `clear_emulator_capabilities = 0`, and QEMU runs as root or its daemon hands the capability on. Or QEMU's user
    and group may open /dev/userfaultfd, and QEMU knows of it.

    Not seen, so that a host may do more than is said: other groups and ACLs that let QEMU open the device, and
    that a system daemon may label the device for QEMU. Nor is seen what a security module forbids on top.
    """
    if _is_one(files.unprivileged_userfaultfd):
        return True
    if daemon.setting("clear_emulator_capabilities") == "0":
        as_root = daemon.system and daemon.qemu is not None and daemon.qemu.user == 0
        if as_root or daemon.ambient_ptrace:
            return True
    known = qemu_version >= _USERFAULTFD_DEVICE_SINCE
    return known and daemon.qemu is not None and _may_open(files.userfaultfd, daemon.qemu)


def has_certificates(daemon: Daemon, files: Files = FILES) -> bool:
    """Whether QEMU has certificates for an encrypted stream where qemu.conf says, or where libvirt looks else.

    Not checked is whether they are valid and trusted at the other end.
    """
    if daemon.settings is None:
        return False
    try:
        directory = qemu_certificates(daemon, files)
        return all((directory / name).is_file() for name in _CERTIFICATES)
    except OSError:
        return False


def qemu_certificates(daemon: Daemon, files: Files = FILES) -> Path:
    """Where libvirt has QEMU look for those of a migration."""
    given = daemon.setting("migrate_tls_x509_cert_dir")
    if given is None and os.access(files.migration_certificates, os.F_OK):
        return files.migration_certificates
    return Path(given or daemon.setting("default_tls_x509_cert_dir") or files.certificates)


def _is_one(setting: Path) -> bool:
    try:
        return setting.read_text().strip() == "1"
    except OSError:
        return False


def _may_open(device: Path, owner: Owner) -> bool:
    """Whether its mode lets this user or this group read and write it."""
    try:
        state = device.stat()
    except OSError:
        return False
    if owner.user == 0:
        return True
    if owner.user == state.st_uid:
        return state.st_mode & 0o600 == 0o600  # noqa: PLR2004 - the octal words of chmod(1)
    if owner.group == state.st_gid:
        return state.st_mode & 0o060 == 0o060  # noqa: PLR2004
    return state.st_mode & 0o006 == 0o006  # noqa: PLR2004
