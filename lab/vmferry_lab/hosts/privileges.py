"""As whom the hosts' daemons and QEMUs run, and what they are granted."""

import os
import shutil
from pathlib import Path

from vmferry_lab.hosts.host import PostCopy

NOBODY = 65534
"""The uid and gid that root drops to: neither daemon nor guests of the lab run as root."""
_SYS_PTRACE = 19
"""The bit of CAP_SYS_PTRACE (linux/capability.h)."""
_SYSCTL = Path("/proc/sys/vm/unprivileged_userfaultfd")
_STATUS = Path("/proc/self/status")


def is_root() -> bool:
    """Whether the lab is run by root."""
    return os.geteuid() == 0


def can_grant_ptrace() -> bool:
    """Whether CAP_SYS_PTRACE can be handed on: root in a container often has not got it itself."""
    return is_root() and all(
        _capabilities(kind) >> _SYS_PTRACE & 1 for kind in ("CapEff", "CapPrm", "CapBnd")
    )


def unprivileged_command() -> list[str]:
    """The words before a daemon's command, by which root becomes nobody; none for an ordinary user."""
    if not is_root():
        return []
    command = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
    if can_grant_ptrace():
        command += ["--inh-caps", "+sys_ptrace", "--ambient-caps", "+sys_ptrace"]
    return command


def post_copy(by: str = "the daemon has CAP_SYS_PTRACE and hands it on to QEMU") -> PostCopy:
    """Whether QEMU is let use userfaultfd(2), which post-copy needs.

    QEMU 7.2 asks by the system call, not by /dev/userfaultfd, and for faults in the kernel, too. The kernel grants
    that to CAP_SYS_PTRACE, or to everybody where `vm.unprivileged_userfaultfd` is 1 (userfaultfd(2), Linux 5.11).

    Args:
        by: How QEMU gets CAP_SYS_PTRACE where that can be granted.
    """
    if can_grant_ptrace():
        return PostCopy(possible=True, reason=by)
    if _SYSCTL.exists() and _SYSCTL.read_text().strip() == "1":
        return PostCopy(possible=True, reason="vm.unprivileged_userfaultfd is 1")
    return PostCopy(
        possible=False,
        reason="userfaultfd is denied: run the lab as root with CAP_SYS_PTRACE, "
        "or as root: sysctl vm.unprivileged_userfaultfd=1",
    )


def give_away(*paths: Path) -> None:
    """Let the user that the hosts run as own files and directories, with all that is in them."""
    if not is_root():
        return
    for path in paths:
        for each in (path, *path.rglob("*")):
            shutil.chown(each, NOBODY, NOBODY)


def _capabilities(kind: str) -> int:
    for line in _STATUS.read_text().splitlines():
        name, _, mask = line.partition(":")
        if name == kind:
            return int(mask, 16)
    return 0
