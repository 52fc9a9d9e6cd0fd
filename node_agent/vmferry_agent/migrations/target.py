"""The target role: one migration whose VM comes to this node."""

import asyncio
import logging
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from vmferry_agent.clock import Clock
from vmferry_agent.decisions.aftermath import last_word_is_given
from vmferry_agent.decisions.readiness import not_ready, unsuitable
from vmferry_agent.hypervisor.port import Domain, HostFacts, Hypervisor, HypervisorError, Suitability
from vmferry_agent.migrations.slow_answers import told_if_slow
from vmferry_agent.migrations.vm_reports import vm_report
from vmferry_agent.reporting import Reporter
from vmferry_agent.streams import IncomingStreams
from vmferry_api.conditions import ConditionType, is_true
from vmferry_api.migrations import (
    AttemptOutcome,
    Hardware,
    TargetReport,
    VMMigration,
    VMMigrationStatus,
    VMReport,
    VMState,
)
from vmferry_api.quantities import rounded

_logger = logging.getLogger(__name__)

LOOK = timedelta(seconds=2)
"""Between two looks; that a VM has arrived is told by libvirt at once."""

DEAD = timedelta(seconds=15)
"""So long a stream must have been silent to be ended; what is shorter, TCP overcomes as soon."""

ASK_AGAIN = 10.0
"""Seconds after which it is asked again what the host lacks of what the VM needs: somebody may have mended it."""


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where migrations to this node go."""

    connect_uri: str
    """How other nodes' libvirt daemons reach this one's."""
    migration_uri: str | None
    """Where this node's QEMU listens; None: libvirt's default."""
    tls_destination: str | None = None
    """The name in the certificate of this node's QEMU; None: the host of the migration URI."""


class TargetMigration:
    """Reports whether a VM can come here, and how it arrives.

    Args:
        migration: The object as first seen.
        hypervisor: This host.
        addresses: This host's.
        reporter: Writes this agent's part of the status.
        streams: By which VMs come.
        clock: The time.
    """

    def __init__(
        self,
        migration: VMMigration,
        *,
        hypervisor: Hypervisor,
        addresses: Addresses,
        reporter: Reporter,
        streams: IncomingStreams,
        clock: Clock,
    ) -> None:
        self._migration = migration
        self._hypervisor = hypervisor
        self._addresses = addresses
        self._reporter = reporter
        self._changed = asyncio.Event()
        self._vanished = False
        self._streams = streams
        self._clock = clock
        self._facts: HostFacts | None = None
        self._suitability: Suitability | None = None
        self._suited: Hardware | None = None
        self._asked_at = 0.0
        self._told: TargetReport | None = None

    def update(self, migration: VMMigration) -> None:
        """Take the object as it is now; how far it is on its source is no news here."""
        before, self._migration = self._migration, migration
        if _news(before) != _news(migration):
            self._changed.set()

    def vanish(self) -> None:
        """The object is gone."""
        self._vanished = True
        self._changed.set()

    async def run(self) -> None:
        """Until the migration is over."""
        with ExitStack() as listening:
            listens = False
            while not self._over():
                self._changed.clear()
                if not listens and (vm := self._vm) is not None and vm.uuid is not None:
                    listening.enter_context(
                        self._hypervisor.listen(vm.uuid, lambda _news: self._changed.set())
                    )
                    listens = True
                report = await self._look()
                if report is not None:
                    self._tell(report)
                    await self._end_dead_streams(report)
                await self._wait()

    @property
    def _vm(self) -> VMReport | None:
        source = self._migration.status.source
        return source.vm if source else None

    def _tell(self, report: TargetReport) -> None:
        self._told = report
        self._reporter.put(VMMigrationStatus(target=report).part("target"))

    def _over(self) -> bool:
        """Whether nothing more is to be told: what was told last stays for as long as the object does."""
        status = self._migration.status.replace(target=self._told or self._migration.status.target)
        return self._vanished or (status.is_over and last_word_is_given(status, self._clock.now()))

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(LOOK.total_seconds()):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _look(self) -> TargetReport | None:
        vm = self._vm
        if vm is None or vm.uuid is None:
            return None  # until the source has said which VM it is, there is nothing to check
        ended = self._last_ended_attempt()
        try:
            with told_if_slow(lambda words: self._tell(self._unreachable(words))):
                same = await self._hypervisor.find(vm.uuid)
                known = self._facts if self._is_coming() else None
                facts = self._facts = known or await self._hypervisor.facts()
            message = None if self._is_coming() else await self._not_ready(vm, same, facts)
        except HypervisorError as error:
            return self._unreachable(str(error))
        return self._report(facts, same, ended, message)

    async def _not_ready(self, vm: VMReport, same: Domain | None, facts: HostFacts) -> str | None:
        """Why the VM can't come, for people; None: it can."""
        node = self._migration.spec.target_node
        named = await self._hypervisor.find(vm.name or self._migration.spec.vm)
        message = not_ready(vm, node, named=named, same=same, facts=facts)
        return message if message is not None else await self._unsuitable(vm, node)

    async def _unsuitable(self, vm: VMReport, node: str) -> str | None:
        """What this host lacks of what the VM needs. Asked seldom: it costs libvirt more than a look."""
        source = self._migration.status.source
        hardware = source.hardware if source else None
        if hardware is None:
            return None
        now = self._clock.monotonic()
        if self._suitability is None or self._suited != hardware or now - self._asked_at >= ASK_AGAIN:
            self._suitability = await self._hypervisor.suitability(hardware)
            self._suited, self._asked_at = hardware, now
        return unsuitable(vm, node, hardware, self._migration.spec.storage, self._suitability)

    async def _end_dead_streams(self, report: TargetReport) -> None:
        """Have QEMU notice that the link is dead, once the source's agent says so of a VM that is half here."""
        unaware = report.vm is not None and report.vm.in_post_copy and not report.vm.post_copy_failed
        if unaware and is_true(self._migration.status.conditions, ConditionType.POST_COPY_INTERRUPTED):
            ports = self._facts.migration_ports if self._facts is not None else range(0)
            await self._streams.end_dead(ports, DEAD)

    def _is_coming(self) -> bool:
        """Whether an attempt runs or has brought it here; before it, and between two, the host is checked."""
        attempts = self._migration.status.attempts
        return bool(attempts) and attempts[-1].outcome in {None, AttemptOutcome.COMPLETED}

    def _last_ended_attempt(self) -> int:
        """Read before the look, so that what is then seen is what the attempt has left behind."""
        ended = (each.number for each in self._migration.status.attempts if each.end is not None)
        return max(ended, default=0)

    def _report(
        self, facts: HostFacts, domain: Domain | None, ended: int, message: str | None
    ) -> TargetReport:
        return TargetReport(
            after_attempt=ended,
            ready=message is None,
            connect_uri=self._addresses.connect_uri,
            migration_uri=self._addresses.migration_uri,
            tls_destination=self._addresses.tls_destination,
            vm=VMReport(state=VMState.ABSENT) if domain is None else vm_report(domain),
            libvirt_version=facts.libvirt_version,
            qemu_version=facts.qemu_version,
            features=sorted(facts.features),
            free_memory=self._steady(rounded(facts.free_memory)),
            message=message,
        )

    def _steady(self, free_memory: int) -> int:
        """Free memory always changes a little; only what is worth a write counts."""
        target = self._told or self._migration.status.target
        before = target.free_memory if target else None
        if before is not None and abs(before - free_memory) < before // 10:
            return before
        return free_memory

    def _unreachable(self, error: str) -> TargetReport:
        target = self._told or self._migration.status.target
        message = f"libvirt can't be asked: {error}"
        if target is not None and target.unreachable and target.message:
            message = target.message  # the first word of why: they change all the time
        if target is None or not self._migration.status.attempts:
            return TargetReport(ready=False, unreachable=True, message=message)
        return target.replace(ready=target.ready and self._is_coming(), unreachable=True, message=message)


def has_ended(migration: VMMigration) -> bool:
    """Whether nothing is left to tell of it on its target."""
    return migration.status.is_over and last_word_is_given(migration.status, datetime.now(UTC))


def _news(migration: VMMigration) -> tuple[object, ...]:
    """What others have to say to the target's agent."""
    status = migration.status
    interrupted = is_true(status.conditions, ConditionType.POST_COPY_INTERRUPTED)
    return migration.spec, status.phase, status.source, status.attempts, interrupted
