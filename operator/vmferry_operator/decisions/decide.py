"""One reconcile of one migration: from what is observed to the operator's whole part of the status."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from vmferry_api import FINALIZER
from vmferry_api.conditions import Condition, ConditionType, Status, condition
from vmferry_api.migrations import AppliedPolicy, Phase, VMMigration, VMMigrationStatus
from vmferry_api.policies import MigrationPolicy
from vmferry_operator.decisions.check import (
    unsupported_in_migration,
    unsupported_in_policy,
    unsupported_message,
)
from vmferry_operator.decisions.conclude import Conclusion, cancel_wanted, cancelled_by, conclude
from vmferry_operator.decisions.plan import plan, settled
from vmferry_operator.decisions.ready import Obstacle, bounded, not_begun, obstacle
from vmferry_operator.decisions.select import NoSelection, Selection, select_policy
from vmferry_operator.decisions.situations import situation

OWN_FIELDS = ("observed_generation", "phase", "policy", "desired", "forecast", "steps")
OWN_CONDITIONS = frozenset(
    {
        ConditionType.ACCEPTED,
        ConditionType.TARGET_READY,
        ConditionType.COMPLETE,
        ConditionType.FAILED,
        ConditionType.RECONCILING,
        ConditionType.STALLED,
    }
)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to write, and when to look again."""

    status: VMMigrationStatus
    """Only the operator's fields and conditions."""
    finalizer: bool
    check_again: timedelta | None


def own_part(status: VMMigrationStatus) -> VMMigrationStatus:
    """Of a whole status what the operator owns."""
    return VMMigrationStatus(
        **{name: getattr(status, name) for name in OWN_FIELDS},
        conditions=[each for each in status.conditions if each.type in OWN_CONDITIONS],
    )


def decide(
    migration: VMMigration,
    policies: Sequence[MigrationPolicy],
    nodes: Collection[str] | None,
    *,
    now: datetime,
) -> Decision:
    """The operator's part of the status as it should be.

    Args:
        migration: The object as last seen.
        policies: All policies.
        nodes: Those of its two nodes that exist; None: not known just now.
        now: The time.
    """
    if migration.status.phase is not None and migration.status.phase.terminal:
        return Decision(status=own_part(migration.status), finalizer=False, check_again=None)
    return _Reconcile(migration, policies, nodes, now=now).decide()


class _Reconcile:
    """The steps of one reconcile, in order; each returns a decision or leaves it to the next."""

    def __init__(
        self,
        migration: VMMigration,
        policies: Sequence[MigrationPolicy],
        nodes: Collection[str] | None,
        *,
        now: datetime,
    ) -> None:
        self._migration = migration
        self._policies = policies
        self._nodes = nodes
        self._now = now
        self._old = migration.status
        self._conditions: list[Condition] = []

    def decide(self) -> Decision:
        accepted = self._accepted(select_policy(self._migration.spec, self._policies))
        conclusion = conclude(self._migration)
        if conclusion is None and cancel_wanted(self._migration):
            conclusion = Conclusion(
                phase=Phase.CANCELLED,
                reason="Cancelled",
                message=f"{cancelled_by(self._migration)} before the start",
            )
        if conclusion is not None:
            return self._go_on(conclusion, None if isinstance(accepted, Obstacle) else accepted)
        return self._start(accepted)

    def _accepted(self, selection: Selection | NoSelection) -> Selection | Obstacle:
        """The policy, or why it or the migration can't be carried out."""
        if isinstance(selection, NoSelection):
            return self._refused(selection.reason, selection.message)
        fields = unsupported_in_policy(selection.spec)
        if fields:
            what = f"MigrationPolicy {selection.name}"
            return self._refused("NotSupported", unsupported_message(what, fields))
        fields = unsupported_in_migration(self._migration.spec)
        if fields:
            return self._refused("NotSupported", unsupported_message("spec", fields))
        self._set(ConditionType.ACCEPTED, Status.TRUE, "Accepted", selection.why)
        return selection

    def _refused(self, reason: str, message: str) -> Obstacle:
        self._set(ConditionType.ACCEPTED, Status.FALSE, reason, message)
        return Obstacle(reason=reason, message=message)

    def _start(self, accepted: Selection | Obstacle) -> Decision:
        """Not started yet: start it, or say what it waits for."""
        found = self._hosts_in_the_way()
        if isinstance(accepted, Obstacle):
            return self._wait(found or accepted, None)
        if found is not None:
            return self._wait(found, accepted)
        planned = plan(accepted.spec, None, None, [], situation(self._migration), now=self._now)
        self._set(ConditionType.RECONCILING, Status.TRUE, "Starting", "the hosts are ready")
        return self._decision(
            Phase.PENDING, accepted, VMMigrationStatus(desired=planned.desired), check_again=None
        )

    def _hosts_in_the_way(self) -> Obstacle | None:
        """What the hosts still owe, told as conditions."""
        found = obstacle(self._migration, self._nodes, now=self._now)
        self._tell_target(found)
        if found is not None and not found.of_target and not found.final:
            self._set(ConditionType.ACCEPTED, Status.UNKNOWN, found.reason, found.message)
        if self._old.desired is None or (found is not None and found.final):
            return found
        return not_begun(self._migration, self._old.desired, now=self._now)

    def _wait(self, found: Obstacle, selection: Selection | None) -> Decision:
        """Not started, and not for ever."""
        found = bounded(self._migration, found, now=self._now)
        if found.final:
            self._refused(found.reason, found.message)
            conclusion = Conclusion(phase=Phase.FAILED, reason=found.reason, message=found.message)
            return self._end(conclusion, selection)
        self._set(ConditionType.RECONCILING, Status.TRUE, found.reason, found.message)
        return self._decision(Phase.PENDING, selection, self._old, check_again=found.check_again)

    def _go_on(self, conclusion: Conclusion, selection: Selection | None) -> Decision:
        """Started: plan the next step, or write down how it ended."""
        self._tell_target(None)
        if conclusion.phase.terminal:
            return self._end(conclusion, selection)
        self._set(ConditionType.RECONCILING, Status.TRUE, conclusion.reason, conclusion.message)
        rest = self._old
        check_again = None
        if selection is not None and self._old.desired is not None:
            planned = plan(
                selection.spec,
                self._old.desired,
                self._old.applied,
                self._old.steps,
                situation(self._migration),
                now=self._now,
            )
            rest = VMMigrationStatus(desired=planned.desired, steps=list(planned.steps))
            check_again = planned.check_again
        return self._decision(conclusion.phase, selection, rest, check_again=check_again)

    def _end(self, conclusion: Conclusion, selection: Selection | None) -> Decision:
        """Write the terminal phase."""
        succeeded = conclusion.phase == Phase.SUCCEEDED
        failed = conclusion.phase == Phase.FAILED
        self._set(ConditionType.COMPLETE, Status.of(succeeded), conclusion.reason, conclusion.message)
        self._set(ConditionType.FAILED, Status.of(failed), conclusion.reason, conclusion.message)
        if failed:
            self._set(ConditionType.STALLED, Status.TRUE, conclusion.reason, conclusion.message)
        ended = situation(self._migration).ended
        rest = self._old.replace(steps=settled(self._old.steps, self._old.applied, ended=ended))
        return self._decision(conclusion.phase, selection, rest, check_again=None)

    def _tell_target(self, found: Obstacle | None) -> None:
        """TargetReady, once something is known of it."""
        node = self._migration.spec.target_node
        if found is not None and found.of_target:
            known = found.reason not in {"WaitingForAgent", "AgentSilent"}
            status = Status.FALSE if known else Status.UNKNOWN
            self._set(ConditionType.TARGET_READY, status, found.reason, found.message)
        elif self._old.target is not None and self._old.target.ready:
            self._set(ConditionType.TARGET_READY, Status.TRUE, "Ready", f"{node} can take the VM")

    def _set(self, type_: ConditionType, status: Status, reason: str, message: str) -> None:
        new = condition(
            self._old.conditions,
            type_,
            status,
            reason,
            message,
            now=self._now,
            generation=self._migration.metadata.generation,
        )
        self._conditions = [*(each for each in self._conditions if each.type != type_), new]

    def _decision(
        self,
        phase: Phase,
        selection: Selection | None,
        rest: VMMigrationStatus,
        *,
        check_again: datetime | None,
    ) -> Decision:
        policy = self._old.policy
        if selection is not None:
            policy = AppliedPolicy(name=selection.name, generation=selection.generation, why=selection.why)
        return Decision(
            status=VMMigrationStatus(
                observed_generation=self._migration.metadata.generation,
                phase=phase,
                policy=policy,
                desired=rest.desired,
                forecast=rest.forecast,
                steps=rest.steps,
                conditions=self._conditions,
            ),
            finalizer=not phase.terminal and self._wants_finalizer(),
            check_again=None if check_again is None else max(timedelta(0), check_again - self._now),
        )

    def _wants_finalizer(self) -> bool:
        """A new finalizer can't be added to an object that is being deleted."""
        metadata = self._migration.metadata
        return metadata.deletion_timestamp is None or FINALIZER in metadata.finalizers


def changed_conditions(old: Iterable[Condition], new: Iterable[Condition]) -> list[Condition]:
    """The conditions whose status or reason differ, for the log."""
    before = {each.type: (each.status, each.reason) for each in old}
    return [each for each in new if before.get(each.type) != (each.status, each.reason)]
