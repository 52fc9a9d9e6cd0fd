"""How much of a VM is on a host, from what that host reports of it."""

from enum import Enum, auto

from vmferry_api.migrations import VMReport, VMState

_POST_COPY = "PostCopy"
_POST_COPY_FAILED = "PostCopyFailed"
_HELD_BY_MIGRATION = {"Migration", "StartingUp"}
"""libvirt's reasons of a VM that is stopped for switching over, or that is still coming."""


class Presence(Enum):
    """What is known of a VM on one host."""

    UNKNOWN = auto()
    RUNS = auto()
    STANDS = auto()
    """Whole, paused by its user or by an error."""
    UNDECIDED = auto()
    """Stopped by the migration: libvirt lets it run here, or removes it, once it knows which."""
    HALF = auto()
    """One half of a post-copy that goes on."""
    FROZEN = auto()
    """One half of a post-copy that is interrupted."""
    UNCLEAR = auto()
    """There in a state that says neither (asleep, shutting down)."""
    GONE = auto()
    """Down or not there, whatever the reason."""

    @property
    def whole(self) -> bool:
        """Whether the VM lives here and can be used here."""
        return self in {Presence.RUNS, Presence.STANDS}


def presence(vm: VMReport | None) -> Presence:
    """Read it from a host's report.

    A source that ran on after a switch-over that failed is `MigrationCanceled`, and stays that until something
    else happens to it: it runs as any other.
    """
    if vm is None:
        return Presence.UNKNOWN
    if vm.state not in {VMState.RUNNING, VMState.PAUSED}:
        return Presence.UNCLEAR if vm.state == VMState.OTHER else Presence.GONE
    if vm.reason == _POST_COPY:
        return Presence.HALF
    if vm.reason == _POST_COPY_FAILED:
        return Presence.FROZEN
    if vm.state == VMState.RUNNING:
        return Presence.RUNS
    return Presence.UNDECIDED if vm.reason in _HELD_BY_MIGRATION else Presence.STANDS
