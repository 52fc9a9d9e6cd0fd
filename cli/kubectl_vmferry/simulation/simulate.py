"""One policy on one migration: the operator, the source's agent and the job, in simulated time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from kubectl_vmferry.simulation.attempt import StartJob
from kubectl_vmferry.simulation.reconcile import reconcile
from kubectl_vmferry.simulation.results import (
    Decided,
    Figures,
    Outcome,
    OutcomeName,
    Result,
    Stall,
    decided,
    in_seconds,
    milliseconds,
)
from kubectl_vmferry.simulation.simulated_time import EPOCH, at
from kubectl_vmferry.simulation.source_node import SourceNode
from kubectl_vmferry.simulation.stored_object import StoredMigration
from kubectl_vmferry.simulation.target_node import target_report
from vmferry_agent.decisions.outcome import GivenUp
from vmferry_agent.hypervisor.port import Domain
from vmferry_api import FINALIZER
from vmferry_api.conditions import ConditionType, find_condition, is_true
from vmferry_api.durations import format_duration
from vmferry_api.migrations import Desired, Phase, Progress, VMMigration, VMMigrationStatus
from vmferry_api.policies import MigrationPolicy

LATENCY = 0.1
"""Seconds from a decision until the agent has it."""
SAMPLING = 0.25
"""Seconds between two of the agent's looks. It looks twice at each pass (vmferry_agent.decisions.cadence): with
passes of half a second that is as often, and it sees no pass later."""
_OF_THE_PASS, _OF_ALL = 0.01, 0.001
"""Looks so small a part of the pass's age, or of the whole time, apart tell what closer ones would, far sooner."""
_SETTLED_WITHIN = 5
"""Looks that the operator takes at what it has just written itself."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a simulation has come to at one moment."""

    now: float
    desired: Desired
    progress: Progress | None
    in_post_copy: bool
    given_up: GivenUp | None
    """Why the agent has aborted by itself, if it has."""


Verdict = Callable[[Seen], Outcome | None]
"""The outcome where what is seen ends the simulation before the migration ends."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all policies are simulated on."""

    vm: Domain
    """The VM before it starts."""
    start_job: StartJob
    until: float
    """Seconds to simulate at most."""
    verdict: Verdict = field(default=lambda _: None)


def simulate(
    label: str, policy: MigrationPolicy, setting: Setting, *, others: Sequence[MigrationPolicy] = ()
) -> Result:
    """What the policy would do.

    Args:
        label: What to call it.
        policy: The policy.
        setting: The VM, and what happens to it.
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
        self._node = SourceNode(setting.vm, setting.start_job)
        self._stored = StoredMigration(_asked_for(policy))
        self._now = 0.0
        self._next_look = 0.0
        self._check_at: float | None = None
        self._arrives_at: float | None = None
        self._desired: Desired | None = None
        self._written: Mapping[str, Any] = {}
        self._written_at = 0.0
        self._pass_began_at = (0, 0, 0.0)
        self._decisions: list[Decided] = []
        self._stalls: list[Stall] = []
        self._course: list[Figures] = []

    def run(self) -> Result:
        """From the start to the outcome."""
        self._write()
        self._reconcile()
        while (outcome := self._outcome()) is None:
            self._now = self._next_event()
            self._agent()
            outcome = self._verdict()  # before the operator follows what the recording did by itself
            if outcome is not None:
                break
            self._operator()
        return self._result(outcome)

    def _agent(self) -> None:
        """The agent looks when it is time, when it is told something new, and when the job ends."""
        if self._arrives_at is not None and self._arrives_at <= self._now:
            self._desired, self._arrives_at = self._stored.status.desired, None
        if self._desired is None:
            return
        self._node.look(self._desired, now=self._now)
        progress = self._node.progress
        self._next_look = self._now + self._sampling(progress)
        if progress is not None:
            needed, granted = in_seconds(progress.needed_downtime), in_seconds(progress.max_downtime)
            self._course.append(
                Figures(t=milliseconds(self._now) or 0.0, needed_downtime=needed, max_downtime=granted)
            )

    def _sampling(self, progress: Progress | None) -> float:
        """Seconds until the next look."""
        this = len(self._node.jobs), progress.memory_pass if progress else 0
        if this != self._pass_began_at[:2]:
            self._pass_began_at = (*this, self._now)
        age = self._now - self._pass_began_at[2]
        return max(SAMPLING, age * _OF_THE_PASS, self._now * _OF_ALL)

    def _operator(self) -> None:
        """The operator looks when the object has changed, and when it said that it would."""
        if self._report_is_due():
            self._write()
        elif self._check_at is None or self._check_at > self._now:
            return
        self._reconcile()

    def _report_is_due(self) -> bool:
        """A change of anything but progress is written at once, as the agent's reporter does."""
        new, old = self._node.report, self._written
        if {**new, "progress": None} != {**old, "progress": None}:
            return True
        every = self._desired.report_every.total_seconds() if self._desired else 0.0
        return new != old and self._now - self._written_at >= every - 1e-6

    def _write(self) -> None:
        self._written, self._written_at = self._node.report, self._now
        target = target_report(self._setting.vm, self._node.attempts, in_post_copy=self._node.in_post_copy)
        self._stored.report(self._written, target)
        self._note_stalling()

    def _note_stalling(self) -> None:
        stalls = is_true(self._stored.status.conditions, ConditionType.MIGRATION_STALLING)
        t = milliseconds(self._now) or 0.0
        open_one = self._stalls[-1] if self._stalls and self._stalls[-1].end is None else None
        if stalls and open_one is None:
            self._stalls.append(Stall(start=t))
        elif open_one is not None and not stalls:
            self._stalls[-1] = replace(open_one, end=t)

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
        verdict = self._verdict()
        if verdict is not None:
            return verdict
        if status.is_over:
            return self._ended(status)
        if self._now >= self._setting.until:
            until = format_duration(timedelta(seconds=self._setting.until))
            return Outcome(
                t=self._now, outcome=OutcomeName.UNFINISHED, why=f"not over after {until} (--until)"
            )
        return None

    def _verdict(self) -> Outcome | None:
        desired = self._stored.status.desired
        if desired is None:
            return None
        return self._setting.verdict(
            Seen(
                now=self._now,
                desired=desired,
                progress=self._node.progress,
                in_post_copy=self._node.in_post_copy,
                given_up=self._node.given_up,
            )
        )

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
