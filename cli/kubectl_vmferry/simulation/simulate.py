"""One policy on one migration: the operator, the source's agent and the job, in simulated time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kubectl_vmferry.simulation.attempt import StartJob
from kubectl_vmferry.simulation.reconcile import reconcile
from kubectl_vmferry.simulation.results import (
    Decided,
    Figures,
    Outcome,
    OutcomeName,
    Result,
    decided,
    in_seconds,
    milliseconds,
)
from kubectl_vmferry.simulation.simulated_time import EPOCH, at
from kubectl_vmferry.simulation.source_node import SAMPLING, SourceNode
from kubectl_vmferry.simulation.stored_object import StoredMigration
from kubectl_vmferry.simulation.target_node import target_report
from vmferry_api import FINALIZER
from vmferry_api.conditions import ConditionType, find_condition, is_true
from vmferry_api.migrations import Desired, Phase, Progress, SourceReport, VMMigration, VMMigrationStatus
from vmferry_api.policies import MigrationPolicy

LATENCY = 0.1
"""Seconds from a decision until the agent has it."""
_SETTLED_WITHIN = 5
"""Looks that the operator takes at what it has just written itself."""

Verdict = Callable[[Desired, Progress | None, float], Outcome | None]
"""The outcome where what is desired, what is seen and the time end the simulation before the migration ends."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all policies are simulated on."""

    source: SourceReport
    """The VM before it starts."""
    start_job: StartJob
    until: float
    """Seconds to simulate at most."""
    verdict: Verdict = field(default=lambda _desired, _progress, _now: None)


def simulate(
    label: str, policy: MigrationPolicy, setting: Setting, *, others: Sequence[MigrationPolicy] = ()
) -> Result:
    """What the policy would do.

    Args:
        label: What to call it.
        policy: The policy.
        setting: The VM and its migration.
        others: Further policies in the cluster, as `retry.thenPolicy` may name one.
    """
    known = [policy, *(each for each in others if each.metadata.name != policy.metadata.name)]
    return _Simulation(label, policy, known, setting).run()


class _Simulation:
    def __init__(
        self, label: str, policy: MigrationPolicy, policies: Sequence[MigrationPolicy], setting: Setting
    ) -> None:
        self._label = label
        self._policies = policies
        self._setting = setting
        self._node = SourceNode(setting.source, setting.start_job)
        self._stored = StoredMigration(_asked_for(policy))
        self._now = 0.0
        self._next_look = 0.0
        self._check_at: float | None = None
        self._arrives_at: float | None = None
        self._desired: Desired | None = None
        self._written = VMMigrationStatus()
        self._written_at = 0.0
        self._decisions: list[Decided] = []
        self._stalls: list[float] = []
        self._course: list[Figures] = []

    def run(self) -> Result:
        """From the start to the outcome."""
        self._write()
        self._reconcile()
        while (outcome := self._outcome()) is None:
            self._now = self._next_event()
            self._agent()
            self._operator()
        return self._result(outcome)

    def _agent(self) -> None:
        """The agent looks when it is time, when it is told something new, and when the job ends."""
        if self._arrives_at is not None and self._arrives_at <= self._now:
            self._desired, self._arrives_at = self._stored.status.desired, None
        if self._desired is None:
            return
        self._node.look(self._desired, now=self._now)
        self._next_look = self._now + SAMPLING
        progress = self._node.status.progress
        if progress is not None:
            needed, granted = in_seconds(progress.needed_downtime), in_seconds(progress.max_downtime)
            self._course.append(
                Figures(t=milliseconds(self._now) or 0.0, needed_downtime=needed, max_downtime=granted)
            )

    def _operator(self) -> None:
        """The operator looks when the object has changed, and when it said that it would."""
        if self._report_is_due():
            self._write()
        elif self._check_at is None or self._check_at > self._now:
            return
        self._reconcile()

    def _report_is_due(self) -> bool:
        """A change of anything but progress is written at once, as the agent's reporter does."""
        new, old = self._node.status, self._written
        if new.replace(progress=None) != old.replace(progress=None):
            return True
        every = self._desired.report_every.total_seconds() if self._desired else 0.0
        return new.progress != old.progress and self._now - self._written_at >= every - 1e-6

    def _write(self) -> None:
        source = self._node.status
        in_post_copy = self._node.attempt is not None and self._node.attempt.job.in_post_copy
        if _stalls(source) and not _stalls(self._written):
            self._stalls.append(milliseconds(self._now) or 0.0)
        self._written, self._written_at = source, self._now
        target = target_report(source, self._setting.source, in_post_copy=in_post_copy)
        self._stored.report(source, target)

    def _reconcile(self) -> None:
        before = self._stored.status.desired
        for _ in range(_SETTLED_WITHIN):
            decision = reconcile(self._stored.migration, self._policies, now=at(self._now))
            again = decision.check_again
            self._check_at = None if again is None else self._now + max(0.001, again.total_seconds())
            if not self._stored.decide(decision):
                break
        after = self._stored.status.desired
        if after is None or after == before:
            return
        if before is None:
            self._arrives_at = self._now
            return
        self._arrives_at = self._arrives_at or self._now + LATENCY
        if after.revision > before.revision:
            steps = self._stored.status.steps
            t = milliseconds(self._now) or 0.0
            self._decisions.append(decided(after, steps, before.attempt, t=t))

    def _next_event(self) -> float:
        times = [self._check_at, self._arrives_at]
        attempt = self._node.attempt
        times.append(self._next_look if attempt is not None or self._arrives_at is not None else None)
        moment = min((time for time in times if time is not None), default=self._setting.until)
        moment = max(self._now, min(moment, self._setting.until))
        if attempt is not None:
            attempt.job.run_until(moment)
            end = attempt.job.end
            if end is not None and end.time < moment:
                return max(self._now, end.time)
        return moment

    def _outcome(self) -> Outcome | None:
        status = self._stored.status
        desired = status.desired
        if desired is None:
            accepted = find_condition(status.conditions, ConditionType.ACCEPTED)
            why = accepted.message if accepted else "the operator has not started it"
            return Outcome(t=0.0, outcome=OutcomeName.NOT_ACCEPTED, why=why)
        verdict = self._setting.verdict(desired, self._node.status.progress, self._now)
        if verdict is not None:
            return verdict
        if status.phase is not None and status.phase.terminal:
            return self._ended(status)
        if self._now >= self._setting.until:
            return Outcome(
                t=self._now, outcome=OutcomeName.UNFINISHED, why="the simulated time is over (--until)"
            )
        return None

    def _ended(self, status: VMMigrationStatus) -> Outcome:
        last = status.attempts[-1] if status.attempts else None
        end = self._node.jobs[-1].end if self._node.jobs else None
        moved = status.phase == Phase.SUCCEEDED
        told = find_condition(status.conditions, ConditionType.COMPLETE if moved else ConditionType.FAILED)
        return Outcome(
            t=milliseconds(self._now) or 0.0,
            outcome=OutcomeName.SUCCEEDED if moved else OutcomeName.FAILED,
            why=told.message if told else "",
            total_time=milliseconds(end.time if end else self._now),
            downtime=in_seconds(last.downtime) if last and moved else None,
        )

    def _result(self, outcome: Outcome) -> Result:
        samples = [job.sample() for job in self._node.jobs]
        return Result(
            policy=self._label,
            decisions=self._decisions,
            outcome=outcome,
            stalls=self._stalls,
            passes=samples[-1].memory_pass if samples else 0,
            transferred=sum(sample.transferred for sample in samples),
            course=self._course,
        )


def _stalls(status: VMMigrationStatus) -> bool:
    return is_true(status.conditions, ConditionType.MIGRATION_STALLING)


def _asked_for(policy: MigrationPolicy) -> VMMigration:
    return VMMigration.model_validate(
        {
            "metadata": {
                "name": "simulated",
                "namespace": "default",
                "uid": "simulated",
                "generation": 1,
                "creationTimestamp": EPOCH,
                "finalizers": [FINALIZER],
            },
            "spec": {
                "vm": "simulated",
                "sourceNode": "source",
                "targetNode": "target",
                "policyRef": {"name": policy.metadata.name},
            },
        }
    )
