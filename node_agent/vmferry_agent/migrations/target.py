"""The target role: one migration whose VM comes to this node."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta

from vmferry_agent.clock import Clock
from vmferry_agent.decisions.readiness import not_ready, unsuitable
from vmferry_agent.hypervisor.port import Domain, HostFacts, Hypervisor, HypervisorError, Suitability
from vmferry_agent.migrations.vm_reports import vm_report
from vmferry_agent.reporting import Reporter
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

LOOK_WHILE_PENDING = timedelta(seconds=2)
LOOK_WHILE_COMING = timedelta(seconds=0.5)
"""Short, because the operator calls a migration succeeded only when the target has seen the VM run."""

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
        clock: The time.
    """

    def __init__(
        self,
        migration: VMMigration,
        *,
        hypervisor: Hypervisor,
        addresses: Addresses,
        reporter: Reporter,
        clock: Clock,
    ) -> None:
        self._migration = migration
        self._hypervisor = hypervisor
        self._addresses = addresses
        self._reporter = reporter
        self._changed = asyncio.Event()
        self._vanished = False
        self._clock = clock
        self._suitability: Suitability | None = None
        self._suited: Hardware | None = None
        self._asked_at = 0.0

    def update(self, migration: VMMigration) -> None:
        """Take the object as it is now."""
        self._migration = migration
        self._changed.set()

    def vanish(self) -> None:
        """The object is gone."""
        self._vanished = True
        self._changed.set()

    async def run(self) -> None:
        """Until the migration is over."""
        while not self._over():
            self._changed.clear()
            report = await self._look()
            if report is not None:
                self._reporter.put(VMMigrationStatus(target=report).part("target"))
            await self._wait()

    def _over(self) -> bool:
        phase = self._migration.status.phase
        return self._vanished or (phase is not None and phase.terminal)

    async def _wait(self) -> None:
        coming = bool(self._migration.status.attempts)
        try:
            async with asyncio.timeout((LOOK_WHILE_COMING if coming else LOOK_WHILE_PENDING).total_seconds()):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _look(self) -> TargetReport | None:
        source = self._migration.status.source
        vm = source.vm if source else None
        if vm is None or vm.uuid is None:
            return None  # until the source has said which VM it is, there is nothing to check
        ended = self._last_ended_attempt()
        try:
            facts = await self._hypervisor.facts()
            same = await self._hypervisor.find(vm.uuid)
            named = await self._hypervisor.find(vm.name or self._migration.spec.vm)
        except HypervisorError as error:
            return self._unreachable(str(error))
        if self._is_coming():
            message = None
        else:
            node = self._migration.spec.target_node
            message = not_ready(vm, node, named=named, same=same, facts=facts)
            if message is None:
                message = await self._unsuitable(vm, node)
        return self._report(facts, same, ended, message)

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
        target = self._migration.status.target
        before = target.free_memory if target else None
        if before is not None and abs(before - free_memory) < before // 10:
            return before
        return free_memory

    def _unreachable(self, error: str) -> TargetReport:
        target = self._migration.status.target
        message = f"libvirt can't be asked: {error}"
        if target is None or not self._migration.status.attempts:
            return TargetReport(ready=False, message=message)
        return target.replace(ready=target.ready and self._is_coming(), message=message)
