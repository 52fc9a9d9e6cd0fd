"""One reconcile of one migration: from what is observed to the operator's whole part of the status."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from vmferry_api import FINALIZER
from vmferry_api.conditions import (
    AGENT_SILENT,
    HYPERVISOR_UNREACHABLE,
    QUEUED,
    RETRY_BACKOFF,
    Condition,
    ConditionType,
    Status,
    condition,
    find_condition,
)
from vmferry_api.migrations import (
    AppliedPolicy,
    AttemptOutcome,
    Phase,
    Queue,
    StepRecord,
    VMMigration,
    VMMigrationStatus,
)
from vmferry_api.policies import MigrationPolicy, Retry
from vmferry_operator.decisions.check import (
    host_conflicts,
    in_flight,
    usable,
)
from vmferry_operator.decisions.cluster import Cluster
from vmferry_operator.decisions.conclude import (
    IF_ANY_IS_LOST,
    Conclusion,
    cancel_wanted,
    cancelled_by,
    conclude,
    if_lost,
)
from vmferry_operator.decisions.edits import who_says_so
from vmferry_operator.decisions.forecast import forecast
from vmferry_operator.decisions.one_word import in_one_word
from vmferry_operator.decisions.plan import begin, plan
from vmferry_operator.decisions.ready import (
    SILENCE,
    Obstacle,
    bounded,
    not_begun,
    obstacle,
    waiting_since,
)
from vmferry_operator.decisions.records import closed, settled
from vmferry_operator.decisions.reporting import report_every
from vmferry_operator.decisions.retries import NextTry, is_last, next_try
from vmferry_operator.decisions.select import (
    LONGEST_WHY,
    NoSelection,
    Selection,
    held_policy,
    select_policy,
    then_policy_selection,
)
from vmferry_operator.decisions.shares import Share
from vmferry_operator.decisions.silence import (
    LOOK_AT_LEASES,
    Leases,
    last_report,
    nodes_in_question,
    silence_of,
    silent_nodes,
)
from vmferry_operator.decisions.situations import in_post_copy, situation
from vmferry_operator.decisions.wording import LONGEST_MESSAGE, shortened

OWN_FIELDS = (
    "observed_generation",
    "phase",
    "reason",
    "policy",
    "desired",
    "forecast",
    "queue",
    "waiting_since",
    "steps",
)
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


LOOK_AT_QUEUE = timedelta(seconds=30)
"""Between two looks at one that waits; what ends wakes those whose turn it is at once."""


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a decision needs to know beyond the migration itself."""

    policies: Sequence[MigrationPolicy]
    nodes: Collection[str] | None = None
    """Those of the migration's two nodes that exist; None: not known just now."""
    namespace_labels: Mapping[str, str] | None = None
    """Of the migration's namespace; None: not known just now."""
    cluster: Cluster = field(default_factory=Cluster)
    """All migrations, with this one or without it."""
    leases: Leases = field(default_factory=dict)
    """Of the agents of those nodes that something depends on; see `leases_wanted`."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to write, and when to look again."""

    status: VMMigrationStatus
    """Only the operator's fields and conditions."""
    finalizer: bool
    check_again: timedelta | None
    delete: bool = False
    """Its time is over (ttlAfterFinished)."""


def own_part(status: VMMigrationStatus) -> VMMigrationStatus:
    """Of a whole status what the operator owns."""
    return VMMigrationStatus(
        **{name: getattr(status, name) for name in OWN_FIELDS},
        conditions=[each for each in status.conditions if each.type in OWN_CONDITIONS],
    )


def leases_wanted(migration: VMMigration, *, now: datetime) -> Sequence[str]:
    """The nodes of whose agents' Leases a decision needs to know now."""
    if migration.status.is_over:
        return []
    conclusion = conclude(migration)
    last = last_report(migration, conclusion.awaits if conclusion else None, now=now)
    return nodes_in_question(migration, last, now=now)


def decide(migration: VMMigration, around: Surroundings, *, now: datetime) -> Decision:
    """The operator's part of the status as it should be.

    Args:
        migration: The object as last seen.
        around: What else was seen.
        now: The time.
    """
    if migration.status.is_over:
        return _over(migration, now=now)
    return _Reconcile(migration, around, now=now).decide()


def _over(migration: VMMigration, *, now: datetime) -> Decision:
    """Nothing more is decided of it; it may be time to delete it."""
    own = _observed(own_part(migration.status), migration.metadata.generation)
    lives = migration.spec.ttl_after_finished
    ended = find_condition(own.conditions, ConditionType.COMPLETE)
    if lives is None or ended is None or migration.metadata.deletion_timestamp is not None:
        return Decision(status=own, finalizer=False, check_again=None)
    left = ended.last_transition_time + lives - now
    if left <= timedelta(0):
        return Decision(status=own, finalizer=False, check_again=None, delete=True)
    return Decision(status=own, finalizer=False, check_again=left)


def _observed(own: VMMigrationStatus, generation: int) -> VMMigrationStatus:
    """The same of this generation: an edit after the end changes nothing, and who waits must not wait for it."""
    conditions = [each.replace(observed_generation=generation) for each in own.conditions]
    return own.replace(observed_generation=generation, conditions=conditions)


class _Reconcile:
    """The steps of one reconcile, in order; each returns a decision or leaves it to the next."""

    def __init__(self, migration: VMMigration, around: Surroundings, *, now: datetime) -> None:
        self._migration = migration
        self._around = around
        self._now = now
        self._old = migration.status
        self._situation = situation(migration)
        self._conditions: list[Condition] = []
        self._retry: Retry | None = None
        self._policy_unknown: NoSelection | None = None
        self._in_flight: Selection | None = None
        """What an attempt that runs goes on by where the next one could not start."""

    def decide(self) -> Decision:
        conclusion = conclude(self._migration)
        accepted = self._accepted(self._held(conclusion) or self._selected())
        if cancel_wanted(self._migration) and (conclusion is None or conclusion.again):
            conclusion = Conclusion(
                phase=Phase.CANCELLED,
                reason="Cancelled",
                message=f"{cancelled_by(self._migration)} while nothing ran",
            )
        if conclusion is not None and conclusion.again and self._policy_unknown is not None:
            return self._wait_for_policy(conclusion, self._policy_unknown)
        if conclusion is None or (conclusion.again and self._next_try() is not None):
            return self._start(accepted, conclusion)
        return self._go_on(conclusion, self._in_flight if isinstance(accepted, Obstacle) else accepted)

    def _held(self, conclusion: Conclusion | None) -> Selection | NoSelection | None:
        """The policy of an attempt, from the order to start it to its end; None: one is to be selected."""
        policy, ref = self._old.policy, self._migration.spec.policy_ref
        ended = conclusion is not None and conclusion.again
        if self._old.desired is None or policy is None or ended:
            return None
        if policy.policy_ref != (ref.name if ref else None):
            return None
        begins = conclusion is not None and self._old.phase == Phase.PENDING
        return held_policy(policy, self._migration, self._around.policies, begins=begins)

    def _selected(self) -> Selection | NoSelection:
        """The policy; for the last of several tries the one that the policy names for it."""
        around = self._around
        selection = select_policy(self._migration, around.policies, around.namespace_labels)
        if isinstance(selection, NoSelection):
            self._policy_unknown = selection
            return selection
        self._retry = selection.spec.retry
        if self._then_policy is None:
            return selection
        return then_policy_selection(selection, self._migration, around.policies)

    @property
    def _then_policy(self) -> str | None:
        """What the last of several tries is to go by instead."""
        last = is_last(self._retry, self._situation.failures)
        return self._retry.then_policy if self._retry is not None and last else None

    def _next_try(self) -> NextTry | None:
        failures, last = self._situation.failures, self._situation.last_attempt
        return next_try(self._retry, failures, last, self._migration.metadata.uid)

    def _accepted(self, selection: Selection | NoSelection) -> Selection | Obstacle:
        """The policy, or why it or the migration can't be carried out."""
        if isinstance(selection, NoSelection):
            return self._refused(selection.reason, selection.message)
        self._in_flight = replace(selection, spec=in_flight(selection.spec))
        conflicts = host_conflicts(selection.spec, self._old.source, self._old.target)
        refused = next((each for each in conflicts if not each.degrades), None)
        if refused is not None:
            return self._refused(refused.rule, f"MigrationPolicy {selection.name}: {refused.message}")
        told = "; ".join([selection.why, *(each.message for each in conflicts)])
        self._set(ConditionType.ACCEPTED, Status.TRUE, "Accepted", told)
        self._in_flight = None
        return replace(selection, spec=usable(selection.spec, conflicts))

    def _refused(self, reason: str, message: str) -> Obstacle:
        self._set(ConditionType.ACCEPTED, Status.FALSE, reason, message)
        return Obstacle(reason=reason, message=message)

    def _start(self, accepted: Selection | Obstacle, failed: Conclusion | None) -> Decision:
        """No attempt runs: begin the next one, or say what it waits for."""
        found = self._backoff(failed) or self._hosts_in_the_way(failed)
        if isinstance(accepted, Obstacle):
            return self._wait(found or accepted, None)
        if found is not None:
            return self._wait(found, accepted)
        queue = self._around.cluster.turns.place(self._migration, accepted.spec, now=self._now)
        if queue is not None:
            message = f"place {queue.position} in the queue: {queue.message}"
            check_again = self._now + LOOK_AT_QUEUE
            waiting = Obstacle(reason=QUEUED, message=message, bounded=False, check_again=check_again)
            return self._wait(waiting, accepted, queue=queue)
        desired = begin(
            accepted.spec,
            self._old.desired,
            self._steps(),
            self._situation,
            now=self._now,
            share=self._share(accepted),
            report_every=self._report_every(),
            reason=self._why_it_begins(failed),
        )
        begun = not_begun(self._migration, desired, now=self._now)
        self._set(ConditionType.RECONCILING, Status.TRUE, begun.reason, begun.message)
        rest = VMMigrationStatus(desired=desired, steps=self._steps(), waiting_since=begun.since)
        return self._decision(Phase.PENDING, accepted, rest, check_again=self._now + SILENCE)

    def _why_it_begins(self, failed: Conclusion | None) -> str:
        again = self._next_try()
        if failed is None or again is None:
            return "the policy's start"
        by = f" by thenPolicy {self._then_policy}" if self._then_policy else ""
        return f"try {again.number} of {again.of}{by}, after: {shortened(failed.message, LONGEST_WHY)}"

    def _wait_for_policy(self, failed: Conclusion, missing: NoSelection) -> Decision:
        """A try has failed, and whether there is another one is for a policy to say that is missing just now."""
        last = self._situation.last_attempt
        message = f"{failed.message}; whether it is tried again is not known: {missing.message}"
        since = last.end if last else None
        self._tell_target(None)
        return self._wait(Obstacle(reason=missing.reason, message=message, since=since), None)

    def _backoff(self, failed: Conclusion | None) -> Obstacle | None:
        """The time that a failed try leaves to what made it fail."""
        again = self._next_try()
        if failed is None or again is None or again.at <= self._now:
            return None
        message = f"{failed.message}; try {again.number} of {again.of} not before {again.at:%H:%M:%S} UTC"
        return Obstacle(reason=RETRY_BACKOFF, message=message, bounded=False, check_again=again.at)

    def _hosts_in_the_way(self, failed: Conclusion | None) -> Obstacle | None:
        """What the hosts still owe, told as conditions."""
        found = obstacle(self._migration, self._around.nodes, now=self._now)
        self._tell_target(found)
        if found is not None and not found.of_target and not found.final:
            self._set(ConditionType.ACCEPTED, Status.UNKNOWN, found.reason, found.message)
        told = found is not None and (found.final or found.reason == HYPERVISOR_UNREACHABLE)
        if self._old.desired is None or failed is not None or told:
            return found
        return not_begun(self._migration, self._old.desired, now=self._now)

    def _wait(self, found: Obstacle, selection: Selection | None, *, queue: Queue | None = None) -> Decision:
        """No attempt runs, and not for ever."""
        found = bounded(self._migration, found, now=self._now)
        if found.final:
            self._refused(found.reason, found.message)
            conclusion = Conclusion(phase=Phase.FAILED, reason=found.reason, message=found.message)
            return self._end(conclusion, selection)
        self._set(ConditionType.RECONCILING, Status.TRUE, found.reason, found.message)
        last = self._situation.last_attempt
        restarts = last is not None and last.outcome == AttemptOutcome.RESTARTED
        since = waiting_since(self._migration, found, now=self._now)
        rest = VMMigrationStatus(
            desired=self._old.desired, steps=self._steps(), queue=queue, waiting_since=since
        )
        phase = Phase.RUNNING if restarts else Phase.PENDING
        return self._decision(phase, selection, rest, check_again=found.check_again)

    def _go_on(self, conclusion: Conclusion, selection: Selection | None) -> Decision:
        """An attempt has begun: plan the next step, or write down how it ended."""
        self._tell_target(None)
        if conclusion.phase.terminal:
            return self._end(conclusion, selection)
        overdue_at = self._tell_how_it_goes(conclusion)
        if selection is None or self._old.desired is None:
            rest = self._old.replace(steps=self._steps(), queue=None, waiting_since=None)
            return self._decision(conclusion.phase, selection, rest, check_again=overdue_at)
        cancelled = cancel_wanted(self._migration) and not in_post_copy(self._migration)
        if cancelled or self._situation.attempt is None:
            rest = VMMigrationStatus(desired=self._old.desired, steps=self._steps())
            return self._decision(conclusion.phase, selection, rest, check_again=overdue_at)
        planned = plan(
            selection.spec,
            self._old.desired,
            self._old.applied,
            self._old.steps,
            self._situation,
            now=self._now,
            share=self._share(selection),
            report_every=self._report_every(),
            restarts=self._in_flight is None,
            says_so=who_says_so(self._migration, selection),
        )
        expected = None
        if conclusion.phase != Phase.RECOVERING:  # there it depends on who mends the link
            expected = forecast(
                selection.spec,
                planned.desired,
                self._situation,
                planned.outlook,
                self._old.forecast,
                now=self._now,
            )
        rest = VMMigrationStatus(desired=planned.desired, steps=list(planned.steps), forecast=expected)
        times = [each for each in (planned.outlook.check_again, overdue_at) if each is not None]
        return self._decision(conclusion.phase, selection, rest, check_again=min(times, default=None))

    def _tell_how_it_goes(self, conclusion: Conclusion) -> datetime | None:
        """Reconciling, or that it is stuck; when to look again whether the agents live."""
        last = last_report(self._migration, conclusion.awaits, now=self._now)
        reason, message = conclusion.reason, conclusion.message
        look_again = None if last is None else last.overdue_at
        if last is not None and last.overdue_at <= self._now:
            look_again = self._now + LOOK_AT_LEASES
            if last.silent(self._around.leases, self._now, has_said_why=conclusion.has_said_why):
                reason = AGENT_SILENT
                message = f"{message}; {last.words(self._around.leases, self._now)}{conclusion.if_silent}"
        elif conclusion.interrupted:
            reason, message = self._with_silence(conclusion)
            look_again = self._now + LOOK_AT_LEASES
        type_ = ConditionType.STALLED if conclusion.stuck else ConditionType.RECONCILING
        self._set(type_, Status.TRUE, reason, message)
        return look_again

    def _with_silence(self, interrupted: Conclusion) -> tuple[str, str]:
        """The reason and the message of an interruption, with the hosts that may be lost."""
        leases = self._around.leases
        silent = silent_nodes(self._migration, leases, now=self._now)
        if not silent:
            return interrupted.reason, interrupted.message
        what_then = if_lost(self._migration, silent[0]) if len(silent) == 1 else IF_ANY_IS_LOST
        told = "; ".join([interrupted.message, *(silence_of(node, leases) for node in silent)])
        return interrupted.reason if interrupted.stuck else AGENT_SILENT, f"{told}. {what_then}"

    def _end(self, conclusion: Conclusion, selection: Selection | None) -> Decision:
        """Write the terminal phase."""
        succeeded = conclusion.phase == Phase.SUCCEEDED
        failed = conclusion.phase == Phase.FAILED
        message = conclusion.message
        if failed and self._situation.failures > 1:
            message = f"given up after {self._situation.failures} tries (status.attempts): {message}"
        self._set(ConditionType.COMPLETE, Status.of(succeeded), conclusion.reason, message)
        self._set(ConditionType.FAILED, Status.of(failed), conclusion.reason, message)
        if failed:
            self._set(ConditionType.STALLED, Status.TRUE, conclusion.reason, message)
        self._conditions = [each for each in self._conditions if each.type != ConditionType.RECONCILING]
        rest = VMMigrationStatus(desired=self._old.desired, steps=closed(self._steps()))
        by = None if self._old.policy else selection  # it went by that to the end, whatever would be next
        return self._decision(conclusion.phase, by, rest, check_again=self._migration_ttl())

    def _migration_ttl(self) -> datetime | None:
        lives = self._migration.spec.ttl_after_finished
        return None if lives is None else self._now + lives

    def _steps(self) -> list[StepRecord]:
        return settled(self._old.steps, self._old.applied, self._old.attempts)

    def _share(self, selection: Selection) -> Share:
        shares = self._around.cluster.shares
        return lambda cap: shares.of(self._migration, selection.spec, cap=cap)

    def _report_every(self) -> timedelta:
        current = self._old.desired.report_every if self._old.desired else None
        return report_every(self._around.cluster.running_with(self._migration), current)

    def _tell_target(self, found: Obstacle | None) -> None:
        """TargetReady, once something is known of it; it stays what it was while there is nothing new."""
        node = self._migration.spec.target_node
        old = find_condition(self._old.conditions, ConditionType.TARGET_READY)
        if found is not None and found.of_target:
            known = found.reason not in {"WaitingForAgent", AGENT_SILENT}
            status = Status.FALSE if known else Status.UNKNOWN
            self._set(ConditionType.TARGET_READY, status, found.reason, found.message)
        elif self._old.target is not None and self._old.target.ready:
            self._set(ConditionType.TARGET_READY, Status.TRUE, "Ready", f"{node} can take the VM")
        elif old is not None:
            self._conditions.append(old)

    def _set(self, type_: ConditionType, status: Status, reason: str, message: str) -> None:
        """Each message goes through here: what an agent says has room for no other word, and others add some."""
        new = condition(
            self._old.conditions,
            type_,
            status,
            reason,
            shortened(message, LONGEST_MESSAGE),
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
            ref = self._migration.spec.policy_ref
            policy = AppliedPolicy(
                name=selection.name,
                generation=selection.generation,
                policy_ref=ref.name if ref else None,
                why=selection.why,
            )
        return Decision(
            status=VMMigrationStatus(
                observed_generation=self._migration.metadata.generation,
                phase=phase,
                reason=in_one_word(self._migration, phase, self._conditions),
                policy=policy,
                desired=rest.desired,
                forecast=rest.forecast,
                queue=rest.queue,
                waiting_since=rest.waiting_since,
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
