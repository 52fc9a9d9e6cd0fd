"""The source role: one migration whose VM leaves this node."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from vmferry_agent.clock import Clock
from vmferry_agent.decisions.aftermath import Duty, duty, runs_whole, stands_still_for_it
from vmferry_agent.decisions.outcome import Ended, GivenUp, restarted
from vmferry_agent.hypervisor.port import Domain, HostFacts, Hypervisor, HypervisorError
from vmferry_agent.migrations.attempt import Attempt
from vmferry_agent.migrations.orders import Orders
from vmferry_agent.migrations.slow_answers import told_if_slow
from vmferry_agent.migrations.source_status import SourceStatus
from vmferry_agent.migrations.traces import Recorded, Trace, Traces
from vmferry_agent.migrations.vm_facts import VMFacts
from vmferry_agent.reach import Reach
from vmferry_agent.reporting import ObjectGoneError, Reporter
from vmferry_api.migrations import AttemptOutcome, Desired, VMMigration, VMMigrationStatus, VMState
from vmferry_kube.backoff import Backoff

_logger = logging.getLogger(__name__)

LOOK_AT_VM = timedelta(seconds=2)
"""Between two looks at a VM that waits for its start."""
_OWED = {
    Duty.UNDEFINE: "what is left here is the definition of",
    Duty.RESUME: "this agent has suspended",
}


class SourceMigration:
    """Carries out one migration on its source.

    Args:
        migration: The object as first seen.
        hypervisor: This host.
        reporter: Writes this agent's part of the status.
        claims: UUIDs of the VMs that this process migrates, shared by all.
        reach: Whether other hosts' daemons answer.
        clock: The time.
        traces: Records the attempts.
        every: The seconds between two looks at a running attempt; None: as `Cadence` says.
        measure_dirty_rate: Whether to measure how fast the guest writes while it waits for its start.
    """

    def __init__(
        self,
        migration: VMMigration,
        *,
        hypervisor: Hypervisor,
        reporter: Reporter,
        claims: set[str],
        reach: Reach,
        clock: Clock,
        traces: Traces,
        every: float | None = None,
        measure_dirty_rate: bool = True,
    ) -> None:
        self._orders = Orders(migration)
        self._hypervisor = hypervisor
        self._reporter = reporter
        self._claims = claims
        self._reach = reach
        self._clock = clock
        self._traces = traces
        self._every = every
        self._changed = asyncio.Event()
        self._vanished = False
        self._status = SourceStatus(migration.status, reporter, clock.now)
        self._dutiful_at = clock.monotonic()
        self._duty_delays = iter(Backoff())
        self._vm_facts = VMFacts(
            hypervisor, measures=measure_dirty_rate, found=self._changed.set, clock=clock
        )

    def update(self, migration: VMMigration) -> None:
        """Take the object as it is now; what this agent itself has written is no news."""
        before, self._orders.migration = self._migration, migration
        if migration.status.desired is not None:
            self._reporter.every = migration.status.desired.report_every
        if _wishes(before) != _wishes(migration):
            self._changed.set()

    def vanish(self) -> None:
        """The object is gone.

        If that was by force, without a deletion timestamp, what runs for it goes on with what was wanted last,
        and its own limits end it.
        """
        self._vanished = True
        self._changed.set()

    async def run(self) -> None:
        """Until the migration is over."""
        try:
            while not self._over():
                self._changed.clear()
                await self._reconcile()
                await self._wait(LOOK_AT_VM)
        except ObjectGoneError:
            _logger.info("%s: the object is gone", self._name)
        finally:
            self._vm_facts.stop()

    @property
    def _migration(self) -> VMMigration:
        return self._orders.migration

    @property
    def _name(self) -> str:
        metadata = self._migration.metadata
        return f"{metadata.namespace}/{metadata.name}"

    def _over(self) -> bool:
        return self._vanished or (self._migration.status.is_over and self._duty() is None)

    async def _wait(self, delay: timedelta) -> None:
        try:
            async with asyncio.timeout(delay.total_seconds()):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _reconcile(self) -> None:
        try:
            with told_if_slow(self._status.unreachable):
                domain = await self._hypervisor.find(self._vm)
                facts = await self._hypervisor.facts()
            if domain is not None and self._is_to_leave(domain):
                await self._vm_facts.look(domain, free=domain.uuid not in self._claims)
            self._describe(facts, domain)
            if self._status.open_attempt is not None:
                await self._adopt(domain)
            elif (owed := self._duty()) is not None:
                await self._fulfil(owed, domain)
            elif (number := self._due_attempt()) is not None:
                await self._start_unless_still(number, domain)
        except HypervisorError as error:
            self._status.unreachable(str(error))

    @property
    def _vm(self) -> str:
        """By UUID once it is known: another domain may get the name."""
        source = self._migration.status.source
        known = source.vm.uuid if source and source.vm and self._status.attempts else None
        return known or self._migration.spec.vm

    def _is_to_leave(self, domain: Domain) -> bool:
        """Whether it waits for an attempt that is not due yet: one that is due waits for no answer."""
        if self._due_attempt() is not None:
            return False
        if not self._status.attempts:
            return True
        alive = domain.state in {VMState.RUNNING, VMState.PAUSED} and not domain.in_post_copy
        return alive and self._status.open_attempt is None and not self._migration.status.is_over

    def _describe(self, facts: HostFacts, domain: Domain | None) -> None:
        if self._status.attempts:
            self._status.see(domain)  # once it has begun to leave, its absence is no news
            if self._vm_facts.hardware is not None:
                self._status.need(self._vm_facts.hardware)
            return
        name = self._migration.spec.vm
        missing = f"{self._migration.spec.source_node} has no domain {name} (virsh list --all)"
        self._status.describe(
            facts,
            domain,
            name=name,
            message=None if domain else missing,
            hardware=self._vm_facts.hardware,
            dirty_rate=self._vm_facts.dirty_rate,
        )

    def _due_attempt(self) -> int | None:
        """The number of the attempt that is to begin now.

        None after one that has completed, though a restart of it was ordered; nor where the end that is wanted is
        recorded already.
        """
        desired = self._migration.status.desired
        if desired is None or desired.attempt <= self._status.last_attempt:
            return None
        last = self._status.attempts[-1].outcome if self._status.attempts else None
        order = self._orders.now()
        if last == AttemptOutcome.COMPLETED or (isinstance(order, GivenUp) and order.outcome == last):
            return None
        return desired.attempt

    async def _start_unless_still(self, number: int, domain: Domain | None) -> None:
        """Start an attempt, but not with a guest that is still paused for the one before."""
        if not stands_still_for_it(self._seen):
            await self._start(number, domain)
            return
        spec, last = self._migration.spec, self._status.last_attempt
        self._status.warn(
            f"{spec.vm} is paused for attempt {last}; attempt {number} waits until it runs again. It is let run "
            f"once {spec.target_node} is seen without it. If that can't be seen, look there, then `virsh resume`"
        )

    async def _start(self, number: int, domain: Domain | None) -> None:
        if domain is None:
            self._refuse(number, f"there is no domain {self._migration.spec.vm} any more")
            return
        with self._claim(domain) as free:
            if free and not await self._migrates(domain):
                await self._begin(number, domain)
            else:
                self._refuse(number, _another(domain))

    async def _migrates(self, domain: Domain) -> bool:
        """Whether libvirt has a migration of it already."""
        with told_if_slow(self._status.unreachable):
            look = await self._hypervisor.look(domain)
        self._status.see(look.domain)  # takes back that it does not answer
        return look.sample is not None

    def _refuse(self, number: int, reason: str) -> None:
        """Say why an attempt can't be made now."""
        self._status.begin(number)
        self._status.end(Ended(outcome=AttemptOutcome.FAILED, error=reason))
        self._changed.set()  # the VM is to be looked at once more, now that it has ended

    async def _begin(self, number: int, domain: Domain) -> None:
        """Write the attempt down, then start it: a crash in between leaves a record, never an unknown job."""
        self._vm_facts.stop()
        self._status.begin(number)
        await self._status.flush()
        order = self._orders.now()
        if isinstance(order, Desired) and order.attempt > number:
            order = restarted(order)
        if isinstance(order, GivenUp):
            self._call_off(Ended(outcome=order.outcome, error=order.reason))
            return
        request = self._orders.request(domain, order)
        if request is None:
            silent = f"{self._migration.spec.target_node} has not told its address (status.target.connectURI)"
            self._call_off(Ended(outcome=AttemptOutcome.FAILED, error=silent))
            return
        _logger.info("%s: attempt %d: %s leaves", self._name, number, domain.name)
        trace = self._traces.begin(self._recorded(number), domain, request, order.max_downtime)
        attempt = self._driver(number, domain, trace)
        await self._conclude(domain, await attempt.start(request, order), attempt, trace)

    def _call_off(self, end: Ended) -> None:
        """Close an attempt that was written down and is not to start after all."""
        self._status.end(end)
        self._changed.set()  # another attempt may be wanted by now

    async def _adopt(self, domain: Domain | None) -> None:
        """Go on with an attempt that an earlier process has opened."""
        begun = self._status.open_attempt
        if begun is None:
            return
        if domain is None:
            self._status.end(self._gone_meanwhile())
            return
        with self._claim(domain) as free:
            if not free:
                self._status.end(Ended(outcome=AttemptOutcome.FAILED, error=_another(domain)))
                return
            _logger.info("%s: attempt %d of %s is taken up again", self._name, begun.number, domain.name)
            trace = self._traces.resume(self._recorded(begun.number), domain)
            attempt = self._driver(begun.number, domain, trace)
            end = await attempt.adopt(self._clock.now() - begun.start)
            await self._conclude(domain, end, attempt, trace)

    def _gone_meanwhile(self) -> Ended:
        """The end of an attempt whose VM was gone before this process has looked: the target's word counts."""
        there = self._orders.vm_on_target
        if there is not None and runs_whole(there):
            return Ended(outcome=AttemptOutcome.COMPLETED)
        unseen = "the VM is gone, and no agent was there to see whether it moved"
        return Ended(outcome=AttemptOutcome.FAILED, error=unseen)

    def _duty(self) -> Duty | None:
        """What is still owed to the VM, by what this agent has seen last and the target's word."""
        return duty(self._seen, self._clock.now())

    @property
    def _seen(self) -> VMMigrationStatus:
        """The object's status with what this agent has to say by now."""
        return self._migration.status.replace(source=self._status.source, attempts=self._status.attempts)

    async def _fulfil(self, owed: Duty, domain: Domain | None) -> None:
        """Do what is still owed; what the host refuses is tried again, ever less often."""
        now = self._clock.monotonic()
        if domain is None or domain.uuid in self._claims or now < self._dutiful_at:
            return
        try:
            if owed is Duty.UNDEFINE:
                await self._hypervisor.undefine(domain.uuid)
                _logger.info("%s: the definition that %s has left is removed", self._name, domain.name)
            else:
                await self._hypervisor.resume(domain.uuid)
                self._status.let_run_again()
                _logger.info("%s: %s runs again on its source", self._name, domain.name)
            self._status.warn(None)
            self._status.see(await self._hypervisor.find(domain.uuid))
        except HypervisorError as error:
            self._dutiful_at = now + next(self._duty_delays)
            _logger.warning("%s: %s: %s", self._name, _OWED[owed], error)
            self._status.warn(f"{_OWED[owed]} {domain.name}, and it can't be done yet: {error}")

    async def _conclude(self, domain: Domain, end: Ended, attempt: Attempt, trace: Trace) -> None:
        """Report the end, with the VM as it then is here."""
        job = attempt.figures if end.outcome == AttemptOutcome.COMPLETED else None
        trace.end(attempt.elapsed.total_seconds(), end, job)
        try:
            seen = await self._hypervisor.find(domain.uuid)
        except HypervisorError as error:  # how it ended is known all the same, and is told
            _logger.warning("%s: can't look at %s: %s", self._name, domain.name, error)
            self._status.end(end, job)
        else:
            self._status.end(end, job)
            self._status.see(seen)
        self._changed.set()  # another attempt may be wanted by now
        _logger.info("%s: %s: %s", self._name, end.outcome, end.error or "the VM has left")

    @contextmanager
    def _claim(self, domain: Domain) -> Iterator[bool]:
        """Keep the VM from this process' other migrations; tells whether it was free."""
        if domain.uuid in self._claims:
            yield False
            return
        self._claims.add(domain.uuid)
        try:
            yield True
        finally:
            self._claims.discard(domain.uuid)

    def _recorded(self, number: int) -> Recorded:
        metadata = self._migration.metadata
        return Recorded(
            namespace=metadata.namespace or "", name=metadata.name, uid=metadata.uid, number=number
        )

    def _driver(self, number: int, domain: Domain, trace: Trace) -> Attempt:
        return Attempt(
            number,
            domain,
            hypervisor=self._hypervisor,
            status=self._status,
            orders=self._orders,
            changed=self._changed,
            reach=self._reach,
            clock=self._clock,
            trace=trace,
            every=self._every,
        )


def _another(domain: Domain) -> str:
    return f"another migration of {domain.name} is running; wait for its end or cancel it"


def has_ended(migration: VMMigration) -> bool:
    """Whether nothing is left to do for it on its source."""
    return migration.status.is_over and duty(migration.status, datetime.now(UTC)) is None


def _wishes(migration: VMMigration) -> tuple[object, ...]:
    """What others have to say to the source's agent."""
    status = migration.status
    deleted = migration.metadata.deletion_timestamp
    return migration.spec, deleted, status.phase, status.desired, status.target
