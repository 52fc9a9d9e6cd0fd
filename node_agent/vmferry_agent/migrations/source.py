"""The source role: one migration whose VM leaves this node."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from vmferry_agent.clock import Clock
from vmferry_agent.decisions.changes import bandwidth
from vmferry_agent.decisions.outcome import Ended, GivenUp, restarted
from vmferry_agent.hypervisor.port import (
    Domain,
    HostFacts,
    Hypervisor,
    HypervisorError,
    StartRequest,
)
from vmferry_agent.migrations.attempt import SAMPLING, Attempt
from vmferry_agent.migrations.source_status import SourceStatus
from vmferry_agent.migrations.traces import Recorded, Trace, Traces
from vmferry_agent.migrations.vm_facts import VMFacts
from vmferry_agent.reporting import ObjectGoneError, Reporter
from vmferry_api.migrations import (
    AttemptOutcome,
    Desired,
    DesiredState,
    Storage,
    TargetReport,
    VMMigration,
)
from vmferry_api.policies import StartOptions

_logger = logging.getLogger(__name__)

LOOK_AT_VM = timedelta(seconds=2)
"""Between two looks at a VM that waits for its start."""


class SourceMigration:
    """Carries out one migration on its source.

    Args:
        migration: The object as first seen.
        hypervisor: This host.
        reporter: Writes this agent's part of the status.
        claims: UUIDs of the VMs that this process migrates, shared by all.
        clock: The time.
        traces: Records the attempts.
        sampling: The time between two looks at a running attempt.
        measure_dirty_rate: Whether to measure how fast the guest writes while it waits for its start.
    """

    def __init__(
        self,
        migration: VMMigration,
        *,
        hypervisor: Hypervisor,
        reporter: Reporter,
        claims: set[str],
        clock: Clock,
        traces: Traces,
        sampling: timedelta = SAMPLING,
        measure_dirty_rate: bool = True,
    ) -> None:
        self._migration = migration
        self._hypervisor = hypervisor
        self._reporter = reporter
        self._claims = claims
        self._clock = clock
        self._traces = traces
        self._sampling = sampling
        self._changed = asyncio.Event()
        self._vanished = False
        self._status = SourceStatus(migration.status, reporter, clock.now)
        self._vm_facts = VMFacts(hypervisor, measures=measure_dirty_rate, found=self._changed.set)

    def update(self, migration: VMMigration) -> None:
        """Take the object as it is now."""
        self._migration = migration
        if migration.status.desired is not None:
            self._reporter.every = migration.status.desired.report_every
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
    def _name(self) -> str:
        metadata = self._migration.metadata
        return f"{metadata.namespace}/{metadata.name}"

    def _over(self) -> bool:
        phase = self._migration.status.phase
        return self._vanished or (phase is not None and phase.terminal)

    async def _wait(self, delay: timedelta) -> None:
        try:
            async with asyncio.timeout(delay.total_seconds()):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _reconcile(self) -> None:
        try:
            domain = await self._hypervisor.find(self._vm)
            facts = await self._hypervisor.facts()
            if domain is not None and not self._status.attempts:
                await self._vm_facts.look(domain, free=domain.uuid not in self._claims)
            self._describe(facts, domain)
            if self._status.open_attempt is not None:
                await self._adopt(domain)
            elif (number := self._due_attempt()) is not None:
                await self._start(number, domain)
        except HypervisorError as error:
            self._status.unreachable(str(error))

    @property
    def _vm(self) -> str:
        """By UUID once it is known: another domain may get the name."""
        source = self._migration.status.source
        known = source.vm.uuid if source and source.vm and self._status.attempts else None
        return known or self._migration.spec.vm

    def _describe(self, facts: HostFacts, domain: Domain | None) -> None:
        if self._status.attempts:
            self._status.see(domain)  # once it has begun to leave, its absence is no news
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
        order = self._order()
        if last == AttemptOutcome.COMPLETED or (isinstance(order, GivenUp) and order.outcome == last):
            return None
        return desired.attempt

    def _order(self) -> Desired | GivenUp:
        """What is wanted now. The user's word comes first, without waiting for the operator."""
        desired = self._migration.status.desired
        phase = self._migration.status.phase
        if phase is not None and phase.terminal:
            return GivenUp(outcome=AttemptOutcome.ABORTED, reason=f"the operator has called it {phase}")
        if self._migration.spec.cancel:
            return GivenUp(outcome=AttemptOutcome.CANCELLED, reason="cancelled by spec.cancel")
        if self._migration.metadata.deletion_timestamp is not None:
            return GivenUp(outcome=AttemptOutcome.CANCELLED, reason="cancelled: the object was deleted")
        if desired is None or desired.state == DesiredState.ABORT:
            reason = desired.reason if desired else "the operator has withdrawn it"
            return GivenUp(outcome=AttemptOutcome.ABORTED, reason=f"aborted: {reason}")
        return desired

    async def _start(self, number: int, domain: Domain | None) -> None:
        if domain is None:
            self._refuse(number, f"there is no domain {self._migration.spec.vm} any more")
            return
        with self._claim(domain) as free:
            if not free or await self._hypervisor.sample(domain.uuid) is not None:
                self._refuse(number, _another(domain))
            else:
                await self._begin(number, domain)

    def _refuse(self, number: int, reason: str) -> None:
        """Say why an attempt can't be made now."""
        self._status.begin(number)
        self._status.end(Ended(outcome=AttemptOutcome.FAILED, error=reason))

    async def _begin(self, number: int, domain: Domain) -> None:
        """Write the attempt down, then start it: a crash in between leaves a record, never an unknown job."""
        self._vm_facts.stop()
        self._status.begin(number)
        await self._status.flush()
        order, target = self._order(), self._migration.status.target
        if isinstance(order, Desired) and order.attempt > number:
            order = restarted(order)
        if isinstance(order, GivenUp):
            self._call_off(Ended(outcome=order.outcome, error=order.reason))
            return
        if target is None or not target.connect_uri:
            silent = f"{self._migration.spec.target_node} has not told its address (status.target.connectURI)"
            self._call_off(Ended(outcome=AttemptOutcome.FAILED, error=silent))
            return
        _logger.info("%s: attempt %d: %s leaves", self._name, number, domain.name)
        request = _request(
            domain, order, target, connect_uri=target.connect_uri, storage=self._migration.spec.storage
        )
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
            self._status.end(Ended(outcome=AttemptOutcome.COMPLETED))
            return
        with self._claim(domain) as free:
            if not free:
                self._status.end(Ended(outcome=AttemptOutcome.FAILED, error=_another(domain)))
                return
            _logger.info("%s: attempt %d of %s is taken up again", self._name, begun.number, domain.name)
            trace = self._traces.resume(self._recorded(begun.number), domain)
            attempt = self._driver(begun.number, domain, trace)
            end = await attempt.adopt(self._clock.now() - begun.start, self._migration.status.desired)
            await self._conclude(domain, end, attempt, trace)

    async def _conclude(self, domain: Domain, end: Ended, attempt: Attempt, trace: Trace) -> None:
        """Report the end, with the VM as it then is here."""
        job = attempt.figures if end.outcome == AttemptOutcome.COMPLETED else None
        trace.end(attempt.elapsed.total_seconds(), end, job)
        self._status.see(await self._hypervisor.find(domain.uuid))
        self._status.end(end, job)
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
            order=self._order,
            changed=self._changed,
            clock=self._clock,
            trace=trace,
            sampling=self._sampling,
        )


def _another(domain: Domain) -> str:
    return f"another migration of {domain.name} is running; wait for its end or cancel it"


def _request(
    domain: Domain, desired: Desired, target: TargetReport, *, connect_uri: str, storage: Storage
) -> StartRequest:
    return StartRequest(
        connect_uri=connect_uri,
        migration_uri=target.migration_uri,
        bandwidth=bandwidth(desired),
        post_copy_bandwidth=desired.post_copy_bandwidth,
        post_copy=desired.post_copy_allowed,
        persistent=domain.persistent,
        options=desired.start or StartOptions(),
        storage=storage,
        tls_destination=target.tls_destination,
    )
