"""What an agent still owes a VM once its migration has ended, told by the status alone."""

from datetime import datetime, timedelta
from enum import Enum, auto

from vmferry_api.migrations import Attempt, AttemptOutcome, VMMigrationStatus, VMReport, VMState

WORTH = timedelta(minutes=10)
"""So long after the end the target's word that it has not got the VM is taken. Later the VM may have run there and
be gone again: then what stands still here is old, and a person must look."""


class Duty(Enum):
    """What is owed."""

    UNDEFINE = auto()
    """The definition that the VM has left behind on its source: libvirt forgets it when its daemon dies."""
    RESUME = auto()
    """The guest that was suspended for the migration and stayed."""


def duty(status: VMMigrationStatus, now: datetime) -> Duty | None:
    """What the source's agent still has to do.

    Both need the target's word, given after the attempt had ended: where the VM runs there, what is here is a
    left-over; where there is nothing of it, not even a definition, what is here is the VM.
    """
    vm = status.source.vm if status.source else None
    target = status.target
    last = status.attempts[-1] if status.attempts else None
    if vm is None or last is None or last.end is None or target is None or target.vm is None:
        return None
    if target.after_attempt < last.number:
        return None
    if _left_behind(vm) and runs_whole(target.vm):
        return Duty.UNDEFINE
    if _owes_resumption(last, vm) and target.vm.state == VMState.ABSENT and now - last.end < WORTH:
        return Duty.RESUME
    return None


def stands_still_for_it(status: VMMigrationStatus) -> bool:
    """Whether the guest is still paused for the last attempt: no other may begin with it, and bring it over so."""
    vm = status.source.vm if status.source else None
    return vm is not None and bool(status.attempts) and _owes_resumption(status.attempts[-1], vm)


def last_word_is_given(status: VMMigrationStatus, now: datetime) -> bool:
    """Whether what the target's agent has told of the VM stays true after the end.

    It does once the agent has looked after the last attempt, and libvirt no longer holds the VM there for it.
    """
    last = status.attempts[-1] if status.attempts else None
    target = status.target
    if last is None or last.end is None or target is None or now - last.end >= WORTH:
        return True
    if target.unreachable or target.after_attempt < last.number:
        return False
    return target.vm is None or not (_is_held(target.vm) or target.vm.in_post_copy)


def _is_held(vm: VMReport) -> bool:
    return vm.state == VMState.PAUSED and vm.reason in {"Migration", "StartingUp"}


def _left_behind(vm: VMReport) -> bool:
    return vm.state == VMState.SHUT_OFF and vm.reason == "Migrated"


def runs_whole(vm: VMReport) -> bool:
    """Whether a host runs it, and not a half of it."""
    return vm.state == VMState.RUNNING and not vm.in_post_copy


def _owes_resumption(attempt: Attempt, vm: VMReport) -> bool:
    stayed = attempt.outcome != AttemptOutcome.COMPLETED
    return attempt.suspended and stayed and vm.state == VMState.PAUSED and vm.reason == "User"
