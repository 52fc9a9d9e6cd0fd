"""The source agent's part of the status of one migration."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from vmferry_agent.decisions.outcome import Ended
from vmferry_agent.decisions.recovery import stood_still
from vmferry_agent.hypervisor.port import CompletedJob, Domain, HostFacts
from vmferry_agent.migrations.vm_reports import vm_report
from vmferry_api.conditions import (
    LINK_SILENT,
    ConditionType,
    Status,
    condition,
    find_condition,
    true_since,
)
from vmferry_api.migrations import (
    Applied,
    ApplyError,
    Attempt,
    AttemptOutcome,
    Desired,
    Hardware,
    Progress,
    Recovery,
    SourceReport,
    VMMigrationStatus,
    VMReport,
    VMState,
)
from vmferry_api.quantities import rounded

FIELDS = ("source", "applied", "progress", "recovery", "attempts", "conditions")
MOST_ATTEMPTS = 100
"""What the schema allows; the oldest go first."""
CONDITIONS = (
    ConditionType.RUNNING,
    ConditionType.MIGRATION_STALLING,
    ConditionType.POST_COPY_INTERRUPTED,
)
GIVING_UP = "GivingUp"
"""The reason of the condition Running while the agent aborts of its own accord."""


class Reporter(Protocol):
    """Where the status goes: the API server's (vmferry_agent.reporting), or a simulation's."""

    def put(self, status: Mapping[str, Any]) -> None:
        """Have this written, in place of whatever has not been written yet."""

    async def flush(self) -> None:
        """Wait until it is written (ObjectGoneError: it can't be)."""

    @property
    def settled(self) -> bool:
        """Whether all but mere progress is written."""


class SourceStatus:
    """What this agent says; each change is handed to the reporter.

    Args:
        before: The status as this agent, or an earlier process of it, has left it.
        reporter: Writes it.
        now: The time.
    """

    def __init__(self, before: VMMigrationStatus, reporter: Reporter, now: Callable[[], datetime]) -> None:
        own = [each for each in before.conditions if each.type in CONDITIONS]
        self._status = before.replace(conditions=own)
        self._reporter = reporter
        self._now = now

    @property
    def attempts(self) -> list[Attempt]:
        """All attempts so far."""
        return self._status.attempts

    @property
    def last_attempt(self) -> int:
        """The number of the attempt that was begun last; 0: none was."""
        return self.attempts[-1].number if self.attempts else 0

    @property
    def open_attempt(self) -> Attempt | None:
        """The attempt that has begun and not ended."""
        attempts = self._status.attempts
        return attempts[-1] if attempts and attempts[-1].end is None else None

    @property
    def progress(self) -> Progress | None:
        """The last progress."""
        return self._status.progress

    @property
    def applied(self) -> Applied | None:
        """What was carried out last."""
        return self._status.applied

    @property
    def source(self) -> SourceReport | None:
        """What was last told of this host and the VM."""
        return self._status.source

    @property
    def recovery(self) -> Recovery | None:
        """The last interruption of post-copy."""
        return self._status.recovery

    @property
    def standing_still_since(self) -> datetime | None:
        """Since when it is reported not to get nearer, over a link that carries something; None: it is not."""
        return None if self._is_silent else self._stalling_since

    def silent_since(self, limit: timedelta) -> datetime | None:
        """When the stream that is reported to be silent carried something last; None: it is not.

        Args:
            limit: So long it must be silent to be reported so in pre-copy.
        """
        recovery = self.recovery
        if recovery is not None and recovery.end is None:
            return recovery.again or recovery.since
        since = self._stalling_since
        return since - limit if since is not None and self._is_silent else None

    @property
    def _stalling_since(self) -> datetime | None:
        return true_since(self._status.conditions, ConditionType.MIGRATION_STALLING)

    @property
    def _is_silent(self) -> bool:
        found = find_condition(self._status.conditions, ConditionType.MIGRATION_STALLING)
        return found is not None and found.reason == LINK_SILENT

    @property
    def limit_run_into(self) -> str | None:
        """The limit for which the attempt that runs is aborted."""
        found = find_condition(self._status.conditions, ConditionType.RUNNING)
        gives_up = found is not None and (found.status, found.reason) == (Status.TRUE, GIVING_UP)
        return found.message if found is not None and gives_up else None

    async def flush(self) -> None:
        """Wait until it is written (ObjectGoneError: it can't be)."""
        await self._reporter.flush()

    def describe(
        self,
        facts: HostFacts,
        domain: Domain | None,
        *,
        name: str,
        message: str | None,
        hardware: Hardware | None = None,
        dirty_rate: int | None = None,
    ) -> None:
        """Say what this host is, what it sees of the VM, and what was found out about it."""
        report = SourceReport(
            vm=VMReport(name=name, state=VMState.ABSENT) if domain is None else vm_report(domain),
            hardware=hardware,
            dirty_rate=dirty_rate,
            message=message,
            libvirt_version=facts.libvirt_version,
            qemu_version=facts.qemu_version,
            features=sorted(facts.features),
        )
        self._change(source=report)

    def see(self, domain: Domain | None) -> None:
        """Say in which state the VM is here."""
        source = self._status.source or SourceReport()
        gone = (source.vm or VMReport(state=VMState.ABSENT)).replace(state=VMState.ABSENT, reason=None)
        ended = (each.number for each in self.attempts if each.end is not None)
        self._change(
            source=source.replace(
                vm=gone if domain is None else vm_report(domain),
                after_attempt=max(ended, default=0),
                unreachable=False,
                message=None if source.unreachable else source.message,
            )
        )

    def need(self, hardware: Hardware) -> None:
        """Say what the VM needs of its target by now."""
        self._change(source=(self._status.source or SourceReport()).replace(hardware=hardware))

    def unreachable(self, message: str) -> None:
        """Say that libvirt does not answer, once, by the first word of why; of the VM nothing is known then."""
        source = self._status.source or SourceReport()
        if source.unreachable:
            return
        vm = source.vm if self.attempts else None
        blind = source.replace(vm=vm, unreachable=True, message=f"libvirt can't be asked: {message}")
        self._change(source=blind)

    def warn(self, message: str | None) -> None:
        """Say what is wrong here, for people; None: nothing any more."""
        self._change(source=(self._status.source or SourceReport()).replace(message=message))

    def begin(self, number: int) -> Attempt:
        """Open an attempt."""
        attempt = Attempt(number=number, start=self._now())
        self._change(attempts=[*self.attempts, attempt][-MOST_ATTEMPTS:], progress=None, recovery=None)
        return attempt

    def end(self, end: Ended, job: CompletedJob | None = None) -> None:
        """Close the open attempt."""
        attempt = self.attempts[-1].replace(
            end=self._now(),
            outcome=end.outcome,
            error=end.error,
            downtime=job.downtime if job else None,
            transferred=rounded(job.transferred) if job and job.transferred is not None else None,
            interrupted=self._interrupted(self.recovery, self._now()),
        )
        over = [
            condition(
                self._status.conditions, type_, Status.FALSE, end.outcome, end.error or "", now=self._now()
            )
            for type_ in CONDITIONS
            if type_ == ConditionType.RUNNING or find_condition(self._status.conditions, type_)
        ]
        progress = self.progress
        if progress is not None and end.outcome == AttemptOutcome.COMPLETED:
            sent = attempt.transferred or progress.transferred
            disk = progress.disk and progress.disk.replace(transferred=progress.disk.total, remaining=0)
            progress = progress.replace(percent=100, remaining=0, transferred=sent, disk=disk)
        self._change(attempts=[*self.attempts[:-1], attempt], conditions=over, progress=progress)

    def apply(self, desired: Desired, errors: list[ApplyError], *, attempt: int) -> None:
        """Say that a revision was carried out in an attempt, but for the errors."""
        self._change(
            applied=Applied(revision=desired.revision, attempt=attempt, time=self._now(), errors=errors)
        )

    def suspending(self) -> bool:
        """Say that the guest is about to be paused; True once that is written, so that no crash can hide it."""
        self._change(attempts=[*self.attempts[:-1], self.attempts[-1].replace(suspended=True)])
        return self._reporter.settled

    def let_run_again(self) -> None:
        """Say that the guest is not, or no more, paused for the last attempt."""
        self._change(attempts=[*self.attempts[:-1], self.attempts[-1].replace(suspended=False)])

    def recover(self, recovery: Recovery) -> None:
        """Say what is done about an interruption; what it took is added to the attempt's when it ends."""
        if recovery.end is None or not self.attempts:
            self._change(recovery=recovery)
            return
        attempt = self.attempts[-1].replace(interrupted=self._interrupted(self.recovery, recovery.end))
        self._change(recovery=recovery, attempts=[*self.attempts[:-1], attempt])

    def _interrupted(self, recovery: Recovery | None, until: datetime) -> timedelta | None:
        """How long nothing has flowed in the last attempt's interruptions, with the one that lasts until then."""
        before = self.attempts[-1].interrupted
        if recovery is None or recovery.end is not None:
            return before
        return (before or timedelta(0)) + stood_still(recovery, until)

    def advance(self, progress: Progress) -> None:
        """Say how far it is."""
        self._change(progress=progress)

    def set(self, type_: ConditionType, status: Status, reason: str, message: str) -> None:
        """Set a condition; while status and reason stay the same the message does, too, whatever its figures."""
        old = find_condition(self._status.conditions, type_)
        if old is not None and (old.status, old.reason) == (status, reason):
            return
        new = condition(self._status.conditions, type_, status, reason, message, now=self._now())
        others = [each for each in self._status.conditions if each.type != type_]
        self._change(conditions=[*others, new])

    def _change(self, **changes: object) -> None:
        if all(getattr(self._status, name) == value for name, value in changes.items()):
            return
        self._status = self._status.replace(**changes)
        told = self._status
        if self.open_attempt is not None and told.source is not None:
            # what the target is to check before a start; it is long, and would go with each report of progress
            told = told.replace(source=told.source.replace(hardware=None))
        self._reporter.put(told.part(*FIELDS))
