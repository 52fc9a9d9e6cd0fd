"""Where a migration stands and how it ended, from what both hosts report."""

from dataclasses import dataclass

from vmferry_api.conditions import (
    HYPERVISOR_UNREACHABLE,
    MIGRATING,
    RECOVERY_EXHAUSTED,
    VM_FROZEN,
    Condition,
    ConditionType,
    Status,
    find_condition,
)
from vmferry_api.durations import format_duration
from vmferry_api.migrations import (
    Attempt,
    AttemptOutcome,
    Phase,
    VMMigration,
    VMReport,
    VMState,
)
from vmferry_api.owners import SOURCE_AGENT, TARGET_AGENT
from vmferry_operator.decisions.presence import Presence, presence
from vmferry_operator.decisions.situations import in_post_copy

RAN_ON_AFTER_SWITCH_OVER = "MigrationCanceled"
"""libvirt's reason for a source that was stopped for switching over and let run again; it keeps it."""
_UNSETTLED = {Presence.UNKNOWN, Presence.HALF, Presence.FROZEN}

IF_ANY_IS_LOST = (
    "See which of the two is off, and fence it, before anything is destroyed or started. vmferry destroys and "
    "starts nothing by itself"
)
"""What to do where neither of the two hosts that each have a half of a VM can be heard."""


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """A phase, and why."""

    phase: Phase
    reason: str
    message: str
    again: bool = False
    """The VM lives on its source, so that it could be tried again."""
    awaits: str | None = None
    """The field manager of the agent whose next report it depends on."""
    has_said_why: bool = False
    """That agent has said that its libvirt is away: it is not silent while it keeps its Lease."""
    if_silent: str = ""
    """What to say on top where that agent has fallen silent."""
    stuck: bool = False
    """It goes no further without a person."""
    interrupted: bool = False
    """Each host has a half of the VM, and none has to report anything while nothing flows between them."""


def conclude(migration: VMMigration) -> Conclusion | None:
    """The phase of a migration whose wanted attempt has begun; None before that.

    No end takes one witness alone. Succeeded: the target sees the VM, and the source no longer has it. Stayed: the
    source has it, and was never stopped for switching over, or the target has looked since and has nothing. Lost:
    neither has it, and the target has looked since. On both: both have it, and the source has looked since.
    """
    attempts = migration.status.attempts
    if not attempts:
        return None
    attempt = attempts[-1]
    if attempt.outcome is None:
        return _running(migration)
    end = _End(migration, attempt).conclusion()
    if end is None or not end.again:
        return end
    ordered = migration.status.desired.attempt if migration.status.desired else 0
    return None if ordered > attempt.number else end


def cancel_wanted(migration: VMMigration) -> bool:
    """Whether the user wants it to end."""
    return migration.spec.cancel or migration.metadata.deletion_timestamp is not None


def cancelled_by(migration: VMMigration) -> str:
    """How the user said so."""
    return "spec.cancel" if migration.spec.cancel else "the object was deleted"


def _running(migration: VMMigration) -> Conclusion:
    cancelled = cancel_wanted(migration)
    blind = _blind_source(migration)
    if in_post_copy(migration):
        message = f"the VM runs on {migration.spec.target_node}, its memory follows"
        if cancelled:
            message += f"; {cancelled_by(migration)}, but post-copy can't be aborted: it goes on to its end"
        interruption = _interruption(migration)
        if interruption is not None:
            return _interrupted(migration, interruption)
        return Conclusion(
            phase=Phase.POST_COPY,
            reason=HYPERVISOR_UNREACHABLE if blind else "PostCopy",
            message=message + blind,
            awaits=SOURCE_AGENT,
            has_said_why=bool(blind),
            if_silent=f". {if_lost(migration, migration.spec.source_node)}",
        )
    message = f"{migration.spec.vm} is moving to {migration.spec.target_node}"
    if cancelled:
        message = f"waiting for the agent of {migration.spec.source_node} to abort: {cancelled_by(migration)}"
    return Conclusion(
        phase=Phase.RUNNING,
        reason=HYPERVISOR_UNREACHABLE if blind else MIGRATING,
        message=message + blind,
        awaits=SOURCE_AGENT,
        has_said_why=bool(blind),
    )


def _blind_source(migration: VMMigration) -> str:
    """What its source's agent says where it can't ask libvirt: QEMU goes on, and nobody sees how."""
    source = migration.status.source
    if source is None or not source.unreachable:
        return ""
    return f", and QEMU goes on with it unseen: {migration.spec.source_node} says: {source.message}"


def _interruption(migration: VMMigration) -> Condition | None:
    found = find_condition(migration.status.conditions, ConditionType.POST_COPY_INTERRUPTED)
    return found if found is not None and found.status == Status.TRUE else None


def _interrupted(migration: VMMigration, interruption: Condition) -> Conclusion:
    """Nobody is waited for: while nothing moves there is nothing to report."""
    vm, source, target = migration.spec.vm, migration.spec.source_node, migration.spec.target_node
    message = (
        f"{vm} is half on {source} and half on {target}, and stands still where it needs a page: "
        f"{interruption.message}{_blind_hosts(migration)}. If one of the two hosts is lost, so is {vm}"
    )
    if cancel_wanted(migration):
        message += f". {cancelled_by(migration)}, but post-copy can't be aborted"
    return Conclusion(
        phase=Phase.RECOVERING,
        reason=interruption.reason,
        message=message,
        stuck=interruption.reason == RECOVERY_EXHAUSTED,
        interrupted=True,
    )


def _blind_hosts(migration: VMMigration) -> str:
    """Which hosts' libvirt can't be asked: nobody can take it up again then, though the link is back."""
    spec, status = migration.spec, migration.status
    reports = ((spec.source_node, status.source), (spec.target_node, status.target))
    told = [f"{node} says: {each.message}" for node, each in reports if each is not None and each.unreachable]
    return f"; vmferry can't take it up again while libvirt is away: {'; '.join(told)}" if told else ""


def if_lost(migration: VMMigration, node: str) -> str:
    """What it means and what to do if one of the two hosts is lost while each has a half of the VM."""
    spec = migration.spec
    left = spec.source_node if node == spec.target_node else spec.target_node
    first = _fence_first(spec.vm, lost=node, left=left)
    return f"If {node} is lost: {spec.vm} then stands still on {left} {first}"


def _fence_first(vm: str, *, lost: str, left: str) -> str:
    """What to do about a half of a VM whose other half is lost."""
    return (
        f"for ever, since the rest of its memory was on {lost}. Fence {lost} first (see that it is off, or that "
        f"{vm} is not started there), then destroy {vm} on {left} (there: virsh destroy {vm}), and only then "
        "start it anywhere. vmferry destroys and starts nothing by itself"
    )


class _End:
    """An attempt that its source's agent has closed, and what both hosts show of the VM."""

    def __init__(self, migration: VMMigration, attempt: Attempt) -> None:
        status = migration.status
        self._migration = migration
        self._attempt = attempt
        self._vm = migration.spec.vm
        self._source_node = migration.spec.source_node
        self._target_node = migration.spec.target_node
        self._source = status.source.vm if status.source else None
        self._target = status.target.vm if status.target else None
        self._here = presence(self._source)
        self._there = presence(self._target)

    def conclusion(self) -> Conclusion | None:
        """How it ended, or what that still depends on; None: another attempt is to follow."""
        if self._there.whole:
            return self._with_a_whole_vm_there()
        if self._never_switched_over:
            return self._stayed()
        unsettled = {self._here, self._there} & _UNSETTLED or self._there == Presence.UNDECIDED
        if unsettled or not self._looked:
            return self._unsettled()
        if self._here == Presence.GONE:
            return self._left()
        return self._still_to_look() if self._completed and not self._source_looked else self._stayed()

    @property
    def _completed(self) -> bool:
        return self._attempt.outcome == AttemptOutcome.COMPLETED

    @property
    def _looked(self) -> bool:
        """Whether the target's agent has looked since the attempt ended; what it saw before may have changed."""
        target = self._migration.status.target
        return target is not None and target.after_attempt >= self._attempt.number

    @property
    def _source_looked(self) -> bool:
        """Whether the source's agent has, too; it may have found the end without being able to look at the VM."""
        source = self._migration.status.source
        return source is not None and source.after_attempt >= self._attempt.number

    @property
    def _never_switched_over(self) -> bool:
        """Whether the source has run all the time, so that the target can't have let it run.

        QEMU stops the guest for switching over, and libvirt lets it run on as MigrationCanceled if that fails:
        then, and if it is paused anyway, the target may have it all and begin to run it at any moment.
        """
        if self._here != Presence.RUNS or self._there in {Presence.HALF, Presence.FROZEN} or self._completed:
            return False
        return self._source is not None and self._source.reason != RAN_ON_AFTER_SWITCH_OVER

    @property
    def _told(self) -> str:
        if self._completed:
            return f"{self._source_node} says that it completed"
        if self._here == Presence.GONE:
            return f"{self._source_node} has lost the VM ({self._attempt.error})"
        return f"{self._source_node} says: {self._attempt.error}"

    def _with_a_whole_vm_there(self) -> Conclusion:
        vm, source, target = self._vm, self._source_node, self._target_node
        if self._here.whole or self._here == Presence.UNCLEAR:
            if not self._source_looked:
                return self._still_to_look()
            message = (
                f"{vm} is {_state(self._source)} on {source} and {_state(self._target)} on {target}: stop one of "
                "them at once, or they write to the same disks"
            )
            return Conclusion(phase=Phase.FAILED, reason="VMOnBothHosts", message=message)
        if self._here != Presence.GONE:
            return self._confirming(
                f"it is {_state(self._target)} on {target} and still {_state(self._source)} on {source}; waiting "
                f"for the agent of {source} to see it gone",
                awaits=SOURCE_AGENT,
            )
        message = _summary(self._migration, self._attempt, self._target)
        if not self._completed:
            message += f"; {source} said: {self._attempt.error}"
        return Conclusion(phase=Phase.SUCCEEDED, reason="Migrated", message=message)

    def _still_to_look(self) -> Conclusion:
        """The source's agent has closed the attempt, and what it says of the VM is from before."""
        source, number = self._source_node, self._attempt.number
        return self._confirming(
            f"{self._vm} is {_state(self._target)} on {self._target_node} and was {_state(self._source)} on "
            f"{source} before the end of attempt {number}; waiting for the agent of {source} to look at it there "
            "since",
            awaits=SOURCE_AGENT,
        )

    def _stayed(self) -> Conclusion | None:
        error, again = self._attempt.error or "", True
        if self._here == Presence.UNDECIDED:
            error += f"; {self._vm} is {_state(self._source)} on {self._source_node}: look at it there"
            again = False
        elif self._source_looked:
            goes_on = "goes on running" if self._here == Presence.RUNS else f"is {_state(self._source)}"
            error = "; ".join(filter(None, [error, f"{self._vm} {goes_on} on {self._source_node}"]))
        match self._attempt.outcome:
            case AttemptOutcome.RESTARTED:
                return None
            case AttemptOutcome.CANCELLED:
                return Conclusion(phase=Phase.CANCELLED, reason="Cancelled", message=error)
            case AttemptOutcome.ABORTED:
                return Conclusion(phase=Phase.FAILED, reason="Aborted", message=error, again=again)
            case AttemptOutcome.COMPLETED:
                error = f"{self._told}, yet {self._vm} is {_state(self._source)} there"
                return Conclusion(phase=Phase.FAILED, reason="MigrationFailed", message=error)
            case _:
                return Conclusion(phase=Phase.FAILED, reason="MigrationFailed", message=error, again=again)

    def _left(self) -> Conclusion:
        vm, source, target = self._vm, self._source_node, self._target_node
        if self._completed or self._there == Presence.UNCLEAR:
            message = f"{vm} left for {target} but is {_state(self._target)} there; look at its log"
            return Conclusion(phase=Phase.FAILED, reason="VMNotRunning", message=message)
        message = f"{vm} runs on neither {source} nor {target}: {self._attempt.error}. {self._remains}"
        return Conclusion(phase=Phase.FAILED, reason="VMLost", message=message)

    def _unsettled(self) -> Conclusion:
        if self._looked and self._stands_still:
            return self._frozen()
        node = self._target_node
        message = f"{self._told}; waiting for the agent of {node} to see what has become of it there"
        target = self._migration.status.target
        if target is not None and target.message is not None:
            message += f" ({node} says: {target.message})"
        has_said_why = target is not None and target.unreachable
        return self._confirming(message, awaits=TARGET_AGENT, has_said_why=has_said_why)

    @property
    def _stands_still(self) -> bool:
        """Whether one host has a half of it, and the other one nothing that could send the rest."""
        left = self._source is not None and self._source.reason == "Migrated"
        if self._here == Presence.GONE and not self._completed and not left:
            return self._there in {Presence.HALF, Presence.FROZEN}
        return {self._here, self._there} == {Presence.FROZEN, Presence.GONE}

    def _frozen(self) -> Conclusion:
        left, lost = self._target_node, self._source_node
        if self._here == Presence.FROZEN:
            left, lost = lost, left
        first = _fence_first(self._vm, lost=lost, left=left)
        message = f"{self._vm} stands still on {left} {first}. {self._remains}"
        return Conclusion(phase=Phase.POST_COPY, reason=VM_FROZEN, message=message, stuck=True)

    @property
    def _remains(self) -> str:
        """What there is still of a VM that does not run anywhere."""
        here = _remnant(self._here, self._source, self._source_node)
        there = _remnant(self._there, self._target, self._target_node)
        return f"What is left of it: {here}; {there}"

    def _confirming(self, message: str, *, awaits: str, has_said_why: bool = False) -> Conclusion:
        phase = Phase.POST_COPY if in_post_copy(self._migration) else Phase.RUNNING
        return Conclusion(
            phase=phase, reason="Confirming", message=message, awaits=awaits, has_said_why=has_said_why
        )


def _state(vm: VMReport | None) -> str:
    if vm is None:
        return "unknown"
    return f"{vm.state} ({vm.reason})" if vm.reason else str(vm.state)


def _remnant(found: Presence, vm: VMReport | None, node: str) -> str:
    if vm is None or vm.state == VMState.ABSENT:
        return f"on {node} {'nothing is known' if vm is None else 'nothing'}"
    what = "its definition" if found == Presence.GONE else "one half"
    return f"on {node} {what}, {_state(vm)}"


def _summary(migration: VMMigration, attempt: Attempt, vm: VMReport | None) -> str:
    text = f"{migration.spec.vm} runs on {migration.spec.target_node}"
    if vm is not None and vm.state == VMState.PAUSED:
        text = f"{migration.spec.vm} is on {migration.spec.target_node}, paused ({vm.reason})"
    if attempt.downtime is not None:
        text += f", stopped for {format_duration(attempt.downtime)}"
    if attempt.end is not None:
        text += f", moved in {format_duration(attempt.end - attempt.start)}"
    return text
