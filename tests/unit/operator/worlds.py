"""A migration in simulated time: the operator's decisions, an agent that follows a script, a guest, and a user.

Everything happens on whole seconds but what the operator asks to be woken for. Whatever is written is read back
from JSON before anybody looks at it again.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from migrations_in_words import GIB, after, migration, policy
from objects_as_stored import reported, written

from vmferry_api.conditions import Condition, ConditionType, Status, condition, find_condition
from vmferry_api.features import Feature
from vmferry_api.migrations import (
    Applied,
    ApplyError,
    Attempt,
    AttemptOutcome,
    Desired,
    DesiredState,
    MigrationTechnique,
    PassRecord,
    Progress,
    SourceReport,
    TargetReport,
    VMMigration,
    VMMigrationStatus,
    VMReport,
    VMState,
)
from vmferry_api.policies import MigrationPolicy
from vmferry_operator.decisions.decide import OWN_FIELDS, Decision, Surroundings, decide

MI = 2**20
EVERYTHING = tuple(str(feature) for feature in Feature)
OWN_PART = (*OWN_FIELDS, "conditions")


@dataclass(frozen=True, kw_only=True)
class Guest:
    """How its memory behaves."""

    needed: int = 4000
    """Milliseconds that it needs to stop, with 100 MiB/s."""
    ratio: float = 1.0
    """By which that changes a pass."""
    first_pass: int = 10
    """Seconds."""


@dataclass(frozen=True, kw_only=True)
class Agent:
    """What the source's agent does of what it is told."""

    refuses: frozenset[str] = frozenset()
    """Parameters that its host refuses, named as in `desired`."""
    delay: int = 0
    """Seconds from the first look at a revision until it is carried out."""
    dies_at: int | None = None
    """From then on it neither does nor says anything."""
    fails: Mapping[int, int] = field(default_factory=dict)
    """Attempts that fail by themselves, and after how many seconds."""
    features: tuple[str, ...] = EVERYTHING
    """Of both hosts."""
    qemu: str = "7.2.0"
    """Of both hosts."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that a user does."""

    at: int
    policies: Mapping[str, Mapping[str, object] | None] = field(default_factory=dict)
    """New specs by name; None: deleted."""
    spec: Mapping[str, object] = field(default_factory=dict)
    """Of the migration."""
    deletes: bool = False
    """The migration."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """All that happens."""

    policies: Mapping[str, Mapping[str, object]]
    """Specs by name."""
    policy_ref: str | None = "p"
    """The one that the migration refers to."""
    guest: Guest = Guest()
    agent: Agent = Agent()
    events: Sequence[Event] = ()


@dataclass(frozen=True, kw_only=True)
class Look:
    """One decision."""

    at: float
    before: VMMigration
    after: VMMigration
    policies: Mapping[str, MigrationPolicy]
    decision: Decision


class World:
    """Runs a scenario.

    Args:
        scenario: What happens.
        ask_every: Seconds between two looks of an operator that is asked for no reason; None: never.
        keep: How what was written is kept until it is looked at again.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        ask_every: float | None = None,
        keep: Callable[[VMMigration, Decision], VMMigration] = written,
    ) -> None:
        self._scenario = scenario
        self._ask_every = ask_every
        self._keep = keep
        self.policies = {name: policy(name, **spec) for name, spec in scenario.policies.items()}
        self.migration = migration(policyRef={"name": scenario.policy_ref} if scenario.policy_ref else None)
        self.looks: list[Look] = []
        self._host = _Host(scenario)
        self._check_at: float | None = 0.0
        self._reported: dict[str, object] = {}
        self._edited = False
        self._moment = 0

    @property
    def status(self) -> VMMigrationStatus:
        """As it is stored now."""
        return self.migration.status

    @property
    def over(self) -> bool:
        """Whether it has come to a terminal phase."""
        return self.status.phase is not None and self.status.phase.terminal

    def run(self, until: int) -> "World":
        """Go on until then, in seconds since the creation, or until it is over."""
        for moment in range(self._moment, until):
            self._moment = moment + 1
            self._users(moment)
            fields = self._host.tick(self.migration, moment)
            changed = bool(fields) and fields != self._reported
            if changed:
                self._reported = fields
                self.migration = reported(self.migration, **self._merged(fields))
            if changed or moment == 0 or self._edited:
                self._decide(moment)
            self._until(moment + 1)
            if self.over:
                break
        return self

    def _merged(self, fields: Mapping[str, object]) -> dict[str, object]:
        theirs = [each for each in self.status.conditions if each.type != ConditionType.MIGRATION_STALLING]
        return {**fields, "conditions": [*theirs, *fields["conditions"]]}

    def _users(self, moment: int) -> None:
        self._edited = False
        for event in self._scenario.events:
            if event.at != moment:
                continue
            self._edited = True
            for name, spec in event.policies.items():
                if spec is None:
                    self.policies.pop(name, None)
                else:
                    edited = policy(name, **spec)
                    self.policies[name] = edited.replace(
                        metadata=edited.metadata.replace(generation=moment + 2)
                    )
            given = self.migration.spec.as_json()
            spec = migration(**{**given, **event.spec}).spec
            metadata = self.migration.metadata
            if event.spec:
                metadata = metadata.replace(generation=moment + 2)
            if event.deletes:
                metadata = metadata.replace(deletion_timestamp=after(moment))
            self.migration = self.migration.replace(spec=spec, metadata=metadata)

    def _until(self, end: float) -> None:
        """Look whenever the operator wanted to, or is asked, before the next second."""
        while not self.over:
            wakes = [self._check_at] if self._check_at is not None else []
            if self._ask_every is not None and self.looks:
                asked = round(self.looks[-1].at / self._ask_every + 0.5 + 1e-6)
                wakes.append(round(asked * self._ask_every, 6))
            moment = round(min(wakes, default=end), 6)
            if moment >= end:
                return
            self._decide(max(moment, self.looks[-1].at))

    def _decide(self, moment: float) -> None:
        """Look until there is nothing new, as the watch on the own writes makes the operator do."""
        for _ in range(5):
            before = self.migration
            around = Surroundings(
                policies=list(self.policies.values()), nodes={"node-a", "node-b"}, namespace_labels={}
            )
            decision = decide(before, around, now=after(moment))
            finalizers = ["vmferry.io/migration"] if decision.finalizer else []
            kept = self._keep(before, decision)
            self.migration = kept.replace(metadata=kept.metadata.replace(finalizers=finalizers))
            self.looks.append(
                Look(
                    at=moment,
                    before=before,
                    after=self.migration,
                    policies=dict(self.policies),
                    decision=decision,
                )
            )
            again = decision.check_again
            self._check_at = None if again is None else moment + again.total_seconds()
            if self.migration.status == before.status:
                return
        raise AssertionError(f"never at rest: {self.status.part(*OWN_PART)}")

    @property
    def desired(self) -> Desired:
        """What is wanted now."""
        assert self.status.desired is not None
        return self.status.desired

    @property
    def actions(self) -> list[tuple[int, str]]:
        """The steps that were taken: in which attempt, and which."""
        return [(step.attempt or 0, step.action) for step in self.status.steps]

    def told(self, type_: ConditionType) -> Condition:
        """A condition that is there."""
        found = find_condition(self.status.conditions, type_)
        assert found is not None
        return found

    @property
    def trail(self) -> list[object]:
        """All that was decided: the steps, and each revision."""
        revisions = {
            look.after.status.desired.revision: look.after.status.desired
            for look in self.looks
            if look.after.status.desired is not None
        }
        return [self.status.phase, *self.status.steps, *revisions.values()]


def in_force(look: Look) -> MigrationPolicy | None:
    """The policy that a decision was made by; None: none is accepted."""
    accepted = find_condition(look.after.status.conditions, ConditionType.ACCEPTED)
    if accepted is None or accepted.status != Status.TRUE or look.after.status.policy is None:
        return None
    return look.policies.get(look.after.status.policy.name)


def asks_for_post_copy(spec: Mapping[str, object]) -> bool:
    """Whether a policy, as written, wants post-copy under some circumstances."""
    text = json.dumps(spec)
    return "switchToPostCopy" in text or "PostCopy" in text


class _Host:
    """The source's agent, both hosts and the guest, as far as the object tells of them."""

    def __init__(self, scenario: Scenario) -> None:
        self._agent = scenario.agent
        self._guest = scenario.guest
        self._attempts: list[Attempt] = []
        self._applied: Applied | None = None
        self._progress: Progress | None = None
        self._stalling: Condition | None = None
        self._reason = "Booted"
        self._state = VMState.RUNNING
        self._arrived = False
        self._job: _Job | None = None
        self._cancelled_at: int | None = None

    def tick(self, seen: VMMigration, moment: int) -> dict[str, object]:
        """What the agents say at this moment."""
        if self._agent.dies_at is not None and moment >= self._agent.dies_at:
            return {}
        phase = seen.status.phase
        if moment > 0 and not (phase is not None and phase.terminal):
            self._work(seen, moment)
        return self._report()

    def _work(self, seen: VMMigration, moment: int) -> None:
        desired = seen.status.desired
        cancelled = seen.spec.cancel or seen.metadata.deletion_timestamp is not None
        if desired is None:
            return
        if self._job is None:
            last = self._attempts[-1] if self._attempts else None
            completed = last is not None and last.outcome == AttemptOutcome.COMPLETED
            if desired.attempt > (last.number if last else 0) and not completed and not cancelled:
                self._attempts.append(Attempt(number=desired.attempt, start=after(moment)))
                self._job = _Job(desired, self._guest, self._agent, moment)
                self._progress = None
            return
        self._cancelled_at = (self._cancelled_at or moment) if cancelled else None
        slow = cancelled and moment < (self._cancelled_at or 0) + self._agent.delay
        outcome = self._job.work(desired, moment, cancelled=cancelled and not slow)
        if self._job.in_post_copy:
            self._state, self._reason = VMState.PAUSED, "PostCopy"
        self._applied = self._job.applied or self._applied
        self._progress = self._job.progress
        if outcome is not None:
            self._end(outcome, moment)
        stalls = outcome is None and self._job is not None and self._job.stalls(desired, moment)
        if stalls or self._stalling is not None:
            self._stalling = condition(
                [self._stalling] if self._stalling else [],
                ConditionType.MIGRATION_STALLING,
                Status.of(stalls),
                "NotConverging" if stalls else "Converging",
                now=after(moment),
            )

    def _end(self, outcome: AttemptOutcome, moment: int) -> None:
        last = self._attempts[-1].replace(end=after(moment), outcome=outcome, error=f"it was {outcome}")
        self._attempts[-1] = last
        self._job = None
        if outcome == AttemptOutcome.COMPLETED:
            self._arrived = True
            self._state, self._reason = VMState.ABSENT, None

    def _report(self) -> dict[str, object]:
        own = VMReport(name="db-1", uuid="x", memory=GIB, vcpus=1, state=self._state, reason=self._reason)
        there = None
        if self._arrived:
            there = own.replace(state=VMState.RUNNING, reason="Migrated")
        elif self._reason == "PostCopy":
            there = own.replace(state=VMState.RUNNING, reason="PostCopy")
        about = {"features": list(self._agent.features), "qemu_version": self._agent.qemu}
        ended = [each.number for each in self._attempts if each.end is not None]
        return {
            "source": SourceReport(vm=own, after_attempt=max(ended, default=0), **about),
            "target": TargetReport(ready=True, vm=there, after_attempt=max(ended, default=0), **about),
            "attempts": list(self._attempts),
            "applied": self._applied,
            "progress": self._progress,
            "conditions": [self._stalling] if self._stalling else [],
        }


class _Job:
    """One attempt."""

    def __init__(self, desired: Desired, guest: Guest, agent: Agent, moment: int) -> None:
        self.number = desired.attempt
        self.applied: Applied | None = None
        self.progress: Progress | None = None
        self.in_post_copy = False
        self._guest = guest
        self._agent = agent
        self._began = moment
        self._fails_at = agent.fails.get(self.number)
        self._in_force = {
            "maxDowntime": desired.max_downtime or timedelta(milliseconds=300),
            "bandwidth": _bandwidth(desired),
            "suspend": False,
            "technique": MigrationTechnique.PRE_COPY,
        }
        self._possible = desired.post_copy_allowed
        self._throttles = desired.start is not None and desired.start.auto_converge is not None
        self._seen: tuple[int, int] = (0, moment)
        self._wanted: Desired | None = None
        self._pass = 1
        self._pass_ends = moment + guest.first_pass
        self._best: tuple[timedelta, int] | None = None
        self._progress_at = self._steered_at = moment
        self._ends: int | None = None
        self._recent: list[PassRecord] = []
        self._factor = 1.0

    def work(self, desired: Desired, moment: int, *, cancelled: bool) -> AttemptOutcome | None:
        """Go on until now; how it ended."""
        if not cancelled and desired.attempt <= self.number:
            self._steer(desired, moment)
        if moment >= self._pass_ends and not self.in_post_copy:
            self._next_pass(moment)
        if self._ends is not None:
            return AttemptOutcome.COMPLETED if moment >= self._ends else None
        if self.in_post_copy:
            return None
        if self._fails_at is not None and moment - self._began >= self._fails_at:
            return AttemptOutcome.FAILED
        return AttemptOutcome.CANCELLED if cancelled else self._given_up(desired, moment)

    def _given_up(self, desired: Desired, moment: int) -> AttemptOutcome | None:
        if desired.state == DesiredState.ABORT:
            return AttemptOutcome.ABORTED
        if desired.attempt > self.number:
            return AttemptOutcome.RESTARTED
        quiet = timedelta(seconds=moment - max(self._progress_at, self._steered_at))
        whole = timedelta(seconds=moment - self._began)
        overrun = timedelta(0) < desired.progress_timeout <= quiet
        late = desired.timeout is not None and desired.timeout <= whole
        return AttemptOutcome.ABORTED if overrun or late else None

    def stalls(self, desired: Desired, moment: int) -> bool:
        """Whether the needed downtime does not fall."""
        limit = desired.stalling_limit
        return (
            self._best is not None
            and not self.in_post_copy
            and timedelta(0) < limit <= timedelta(seconds=moment - self._best[1])
        )

    def _steer(self, desired: Desired, moment: int) -> None:
        if desired.revision != self._seen[0]:
            self._seen = (desired.revision, moment)
            self._steered_at = moment
        is_new = self.applied is None or self.applied.revision != desired.revision
        if is_new and moment - self._seen[1] >= self._agent.delay:
            wanted = {
                "maxDowntime": desired.max_downtime or self._in_force["maxDowntime"],
                "bandwidth": _bandwidth(desired),
                "suspend": desired.suspend,
                "technique": desired.technique,
            }
            changed = {name: value for name, value in wanted.items() if value != self._in_force[name]}
            errors = [name for name in changed if self._refuses(name)]
            if self.in_post_copy:
                errors = []
            for name, value in changed.items():
                if name not in errors and not self.in_post_copy:
                    self._in_force[name] = value
            if self._in_force["technique"] == MigrationTechnique.POST_COPY and not self.in_post_copy:
                self.in_post_copy = True
                self._ends = moment + 5
            self.applied = Applied(
                revision=desired.revision,
                attempt=self.number,
                time=after(moment),
                errors=[ApplyError(parameter=name, message="the host will not") for name in errors],
            )

    def _refuses(self, name: str) -> bool:
        return name in self._agent.refuses or (name == "technique" and not self._possible)

    def _next_pass(self, moment: int) -> None:
        self._pass += 1
        ratio = min(self._guest.ratio, 0.7) if self._throttles else self._guest.ratio
        self._factor *= ratio if self._pass > 2 else 1
        bandwidth = min(self._in_force["bandwidth"] or 1000 * MI, 100 * MI)
        needed = timedelta(milliseconds=round(self._guest.needed * self._factor * 100 * MI / bandwidth))
        self._pass_ends = moment + max(2, round(needed.total_seconds()))
        if self._best is None or needed < self._best[0] * 0.97:
            self._best = (needed, moment)
            self._progress_at = moment
        elapsed = timedelta(seconds=moment - self._began)
        self._recent = [
            *self._recent,
            PassRecord(memory_pass=self._pass, elapsed=elapsed, needed_downtime=needed),
        ][-12:]
        self.progress = Progress(
            percent=90,
            memory_pass=self._pass,
            remaining=0,
            transferred=0,
            total=GIB,
            needed_downtime=needed,
            bandwidth=bandwidth,
            elapsed=elapsed,
            recent=self._recent,
        )
        if needed <= self._in_force["maxDowntime"] or self._in_force["suspend"]:
            self._ends = moment + 1


def _bandwidth(desired: Desired) -> int | None:
    return min((each for each in (desired.bandwidth, desired.share) if each is not None), default=None)
