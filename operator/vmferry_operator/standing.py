"""What there is at one moment, counted for metrics. No count is by a VM or a migration: those never end."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from vmferry_api.conditions import (
    AGENT_SILENT,
    RECOVERY_EXHAUSTED,
    VM_FROZEN,
    ConditionType,
    Status,
    find_condition,
    is_true,
)
from vmferry_api.migrations import Phase, VMMigration
from vmferry_api.policies import MigrationPolicy
from vmferry_operator.decisions.occupancy import Occupants, occupies
from vmferry_operator.decisions.prospects import Expected, prospects

_logger = logging.getLogger(__name__)

NO_POLICY = "(none)"
"""In the place of a policy's name while none is selected; no object can be called so."""
NEEDS_PERSON = (RECOVERY_EXHAUSTED, VM_FROZEN, "VMLost", "VMNotRunning", "VMOnBothHosts")
"""The reasons of Stalled with which a VM is not well after an attempt, and nothing is done about it any more."""


@dataclass(kw_only=True)
class Standing:
    """What there is; each count by its labels' values."""

    migrations: Counter[tuple[str, Phase]] = field(default_factory=Counter)
    """By policy and phase."""
    stalling: Counter[str] = field(default_factory=Counter)
    """That run and report MigrationStalling, by policy."""
    expected: Counter[Expected] = field(default_factory=Counter)
    """That run, by what the forecast says."""
    nothing_left: Counter[str] = field(default_factory=Counter)
    """That stall, with nothing left to try, by policy."""
    missing_deadline: Counter[str] = field(default_factory=Counter)
    """That will not be over when they have to be, by policy."""
    interrupted: Counter[str] = field(default_factory=Counter)
    """In post-copy that is interrupted, by reason."""
    silent: Counter[Phase] = field(default_factory=Counter)
    """Whose agent owes a report and gives none, by phase."""
    needing_person: Counter[str] = field(default_factory=Counter)
    """Whose VM is not well after an attempt, with nothing that vmferry does about it, by reason."""
    pending: Counter[str] = field(default_factory=Counter)
    """That have not started, by what they wait for."""
    queued: Counter[str] = field(default_factory=Counter)
    """That wait for their turn, by what is full."""
    longest_wait: timedelta = timedelta(0)
    """Of those that wait for their turn."""
    sharing: Counter[tuple[str, str]] = field(default_factory=Counter)
    """That run and are given a share of a node's bandwidth, by node and direction."""
    shared: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Bytes per second that their shares come to."""
    accepted: Counter[Status] = field(default_factory=Counter)
    """Policies, by the status of Accepted."""
    not_counted: int = 0
    """Migrations by whose status nothing can be reckoned."""


def standing(
    migrations: Iterable[VMMigration], policies: Sequence[MigrationPolicy], *, now: datetime
) -> Standing:
    """Count what there is.

    Args:
        migrations: All of them.
        policies: All of them.
        now: The time.
    """
    counted = _Counting({policy.metadata.name: policy for policy in policies}, now)
    for migration in migrations:
        try:
            counted.add(migration)
        except Exception:  # one status, which others write, must not take the figures of all
            _logger.exception("not counted: VMMigration %s", migration.metadata.name)
            counted.found.not_counted += 1
    for policy in policies:
        accepted = find_condition(policy.status.conditions, ConditionType.ACCEPTED)
        counted.found.accepted[accepted.status if accepted is not None else Status.UNKNOWN] += 1
    return counted.found


class _Counting:
    def __init__(self, policies: Mapping[str, MigrationPolicy], now: datetime) -> None:
        self.found = Standing()
        self._occupants = Occupants(migrations=(), policies=policies)
        self._now = now

    def add(self, migration: VMMigration) -> None:
        status, policy = migration.status, policy_name(migration)
        phase = status.phase or Phase.PENDING
        self.found.migrations[policy, phase] += 1
        self._add_needing_person(migration)
        if not phase.terminal:
            self._add_live(migration, policy, phase)

    def _add_needing_person(self, migration: VMMigration) -> None:
        """Before any attempt a VM is as its owner has it; that it is shut off needs nobody."""
        stuck = find_condition(migration.status.conditions, ConditionType.STALLED)
        if stuck is None or stuck.status != Status.TRUE or not migration.status.attempts:
            return
        if stuck.reason in NEEDS_PERSON:
            self.found.needing_person[stuck.reason] += 1

    def _add_live(self, migration: VMMigration, policy: str, phase: Phase) -> None:
        found, status = self.found, migration.status
        going = find_condition(status.conditions, ConditionType.RECONCILING)
        reason = going.reason if going is not None else "New"
        if reason == AGENT_SILENT:
            found.silent[phase] += 1
        if phase == Phase.PENDING:
            found.pending[reason] += 1
        interrupted = find_condition(status.conditions, ConditionType.POST_COPY_INTERRUPTED)
        if interrupted is not None and interrupted.status == Status.TRUE:
            found.interrupted[interrupted.reason] += 1
        if status.queue is not None:
            found.queued[status.queue.waiting_for] += 1
            found.longest_wait = max(found.longest_wait, self._now - status.queue.since)
        self._add_running(migration, policy)
        self._add_share(migration)

    def _add_running(self, migration: VMMigration, policy: str) -> None:
        told = prospects(migration, self._occupants.policy_of(migration), now=self._now)
        if told is None:
            return
        self.found.expected[told.expected] += 1
        self.found.stalling[policy] += is_true(migration.status.conditions, ConditionType.MIGRATION_STALLING)
        self.found.nothing_left[policy] += told.nothing_left
        self.found.missing_deadline[policy] += told.misses_deadline

    def _add_share(self, migration: VMMigration) -> None:
        desired = migration.status.desired
        if desired is None or desired.share is None or not occupies(migration):
            return
        for link in ((migration.spec.source_node, "out"), (migration.spec.target_node, "in")):
            self.found.sharing[link] += 1
            self.found.shared[link] += desired.share


def policy_name(migration: VMMigration) -> str:
    """Of the policy that it goes by."""
    policy = migration.status.policy
    return policy.name if policy is not None else NO_POLICY
