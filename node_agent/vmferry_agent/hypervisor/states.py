"""libvirt's numbers for states and reasons, in words (virDomainState and its reasons)."""

from vmferry_api.migrations import VMState

_STATES = {1: VMState.RUNNING, 3: VMState.PAUSED, 5: VMState.SHUT_OFF, 6: VMState.CRASHED}
_REASONS = {
    VMState.RUNNING: {
        1: "Booted",
        2: "Migrated",
        3: "Restored",
        4: "FromSnapshot",
        5: "Unpaused",
        6: "MigrationCanceled",
        7: "SaveCanceled",
        8: "Wakeup",
        9: "Crashed",
        10: "PostCopy",
        11: "PostCopyFailed",
    },
    VMState.PAUSED: {
        1: "User",
        2: "Migration",
        3: "Save",
        4: "Dump",
        5: "IOError",
        6: "Watchdog",
        7: "FromSnapshot",
        8: "ShuttingDown",
        9: "Snapshot",
        10: "Crashed",
        11: "StartingUp",
        12: "PostCopy",
        13: "PostCopyFailed",
    },
    VMState.SHUT_OFF: {
        1: "Shutdown",
        2: "Destroyed",
        3: "Crashed",
        4: "Migrated",
        5: "Saved",
        6: "Failed",
        7: "FromSnapshot",
        8: "Daemon",
    },
}


def in_words(state: int, reason: int) -> tuple[VMState, str]:
    """The state and the reason; a reason newer than this table is `Unknown`."""
    known = _STATES.get(state, VMState.OTHER)
    return known, _REASONS.get(known, {}).get(reason, "Unknown")
