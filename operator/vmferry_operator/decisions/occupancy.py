"""Which migrations take part of what hosts can bear, and what of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from vmferry_api.migrations import AttemptOutcome, VMMigration
from vmferry_api.policies import MigrationPolicy, MigrationPolicySpec
from vmferry_operator.decisions.select import with_overrides

VMKey = tuple[str, ...]
"""What two migrations of one VM have in common."""


def occupies(migration: VMMigration) -> bool:
    """Whether it runs, or may be about to: from the order to start until both hosts have said how it ended."""
    status = migration.status
    if status.desired is None or status.is_over:
        return False
    last = status.attempts[-1] if status.attempts else None
    if last is None or last.outcome in {None, AttemptOutcome.COMPLETED}:
        return True
    return status.desired.attempt > last.number


def waits(migration: VMMigration) -> bool:
    """Whether it waits for its turn."""
    return migration.status.queue is not None and not migration.status.is_over


def vm_keys(migration: VMMigration) -> Sequence[VMKey]:
    """What tells whether two migrations are of the same VM: its name on its source and, once known, its UUID.

    Two that follow each other have a node in common. A UUID is the source's word, and counts with its two nodes
    alone: or any agent could name a VM of others, and keep that waiting.
    """
    spec, source = migration.spec, migration.status.source
    named = (spec.source_node, spec.vm)
    uuid = source.vm.uuid if source and source.vm else None
    if uuid is None:
        return (named,)
    return (named, ("uuid", uuid, spec.source_node), ("uuid", uuid, spec.target_node))


def standing(migration: VMMigration) -> object:
    """All that decisions on other migrations depend on, to be compared; None: they do not depend on it."""
    runs, queued = occupies(migration), waits(migration)
    if not (runs or queued):
        return None
    spec, status = migration.spec, migration.status
    return (
        (migration.metadata.uid, runs, queued, *vm_keys(migration)),
        (spec.source_node, spec.target_node, spec.overrides),
        status.policy.name if status.policy else None,
        status.desired.bandwidth if status.desired else None,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Occupants:
    """The migrations that run or wait, as of one moment, and the policies that they go by."""

    migrations: Sequence[VMMigration]
    """Any; those that neither run nor wait are left out."""
    policies: Mapping[str, MigrationPolicy]

    @cached_property
    def running(self) -> Mapping[str, VMMigration]:
        """Those that take part of what hosts can bear, by their uid."""
        return {each.metadata.uid: each for each in self.migrations if occupies(each)}

    @cached_property
    def waiting(self) -> Sequence[VMMigration]:
        """Those that wait for their turn."""
        return [each for each in self.migrations if waits(each)]

    def policy_of(self, migration: VMMigration) -> MigrationPolicySpec:
        """The policy that it was last found to go by, with its overrides; the defaults where that is gone."""
        applied = migration.status.policy
        policy = self.policies.get(applied.name) if applied else None
        return with_overrides(policy.spec if policy else MigrationPolicySpec(), migration.spec.overrides)
