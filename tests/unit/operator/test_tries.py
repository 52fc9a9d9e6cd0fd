"""What follows a try that failed: backoff, the policy of the last one, edits and cancels meanwhile, the end."""

from datetime import timedelta

import pytest
from migrations_in_words import NOW, after, migration, policy, running, source, target, waiting
from worlds import Agent, Event, Guest, Scenario, World

from vmferry_api.conditions import ConditionType, find_condition
from vmferry_api.migrations import (
    AppliedPolicy,
    Attempt,
    AttemptOutcome,
    Phase,
    StepRecord,
    VMMigrationStatus,
)
from vmferry_operator.decisions.decide import Decision, Surroundings, decide
from vmferry_operator.decisions.situations import situation

HOPELESS = Guest(needed=4000, first_pass=4)
OBEYS = Agent()
GIVES_UP = {"stallingLimit": "2s", "steps": [{"after": {"elapsed": "10s"}, "abort": {}}]}
STAYED = "it was Aborted; db-1 goes on running on node-a"
RETRY = {"attempts": 3, "backoff": "20s"}


def world(
    *events: Event, agent: Agent = OBEYS, then: dict[str, object] | None = None, **retry: object
) -> World:
    policies: dict[str, dict[str, object]] = {"p": {**GIVES_UP, "retry": {**RETRY, **retry}}}
    if then is not None:
        policies["p"]["retry"]["thenPolicy"] = "then"  # type: ignore[index]
        policies["then"] = then
    return World(Scenario(policies=policies, guest=HOPELESS, agent=agent, events=events))


def edit(at: int, **retry: object) -> Event:
    return Event(at=at, policies={"p": {**GIVES_UP, "retry": {**RETRY, **retry}}})


def starts(it: World) -> list[float]:
    return [(attempt.start - NOW).total_seconds() for attempt in it.status.attempts]


def test_each_try_waits_longer_than_the_one_before_it_and_the_last_failure_tells_how_many_there_were() -> (
    None
):
    it = world().run(200)
    first, second, third = starts(it)
    assert 11 + 20 <= second - first <= 11 + 24 + 2
    assert 11 + 40 <= third - second <= 11 + 48 + 2
    assert it.status.phase == Phase.FAILED
    assert it.told(ConditionType.FAILED).message.startswith("given up after 3 tries (status.attempts): ")
    assert [attempt.outcome for attempt in it.status.attempts] == [AttemptOutcome.ABORTED] * 3


def test_a_single_try_that_failed_is_told_as_it_is() -> None:
    it = World(Scenario(policies={"p": GIVES_UP}, guest=HOPELESS)).run(60)
    assert it.told(ConditionType.FAILED).message == STAYED


def test_the_backoff_is_told_with_the_number_of_the_try_and_its_time() -> None:
    it = world().run(20)
    told = it.told(ConditionType.RECONCILING)
    assert (it.status.phase, told.reason) == (Phase.PENDING, "RetryBackoff")
    assert told.message.startswith(f"{STAYED}; try 2 of 3 not before 12:00:3")
    assert it.status.forecast is None


def test_the_last_try_goes_by_then_policy_and_says_so_to_the_end() -> None:
    then = {"timeout": {"base": "7s"}}
    it = world(then=then)
    it.run(40)
    assert it.status.policy is not None
    assert it.status.policy.name == "p"
    it.run(300)
    assert it.status.phase == Phase.FAILED
    assert it.desired.timeout == timedelta(seconds=7)
    assert it.status.policy == AppliedPolicy(
        name="then",
        generation=1,
        policy_ref="p",
        why="retry.thenPolicy of p: the last of 3 tries; held since the attempt began",
    )


@pytest.mark.parametrize(
    ("at", "told"),
    [
        (40, f"try 2 of 3, after: {STAYED}"),
        (110, f"try 3 of 3 by thenPolicy then, after: {STAYED}"),
    ],
)
def test_another_try_is_explained(at: int, told: str) -> None:
    assert world(then={}).run(at).desired.reason == told


def test_a_then_policy_that_is_missing_is_waited_for() -> None:
    it = world(Event(at=30, policies={"then": None}), then={})
    it.run(150)
    assert (len(it.status.attempts), it.status.phase) == (2, Phase.PENDING)
    assert it.told(ConditionType.ACCEPTED).reason == "PolicyNotFound"
    assert "retry.thenPolicy of MigrationPolicy p names then" in it.told(ConditionType.RECONCILING).message


@pytest.mark.parametrize(
    ("event", "phase", "tries"),
    [
        (Event(at=20, spec={"cancel": True}), Phase.CANCELLED, 1),
        (Event(at=20, deletes=True), Phase.CANCELLED, 1),
        (Event(at=20, policies={"p": GIVES_UP}), Phase.FAILED, 1),
        (edit(20, attempts=1), Phase.FAILED, 1),
        (edit(20, attempts=2), Phase.FAILED, 2),
        (edit(20, backoff="1s"), Phase.FAILED, 3),
        (Event(at=20, policies={"p": {"maxDowntime": "5s", "retry": RETRY}}), Phase.SUCCEEDED, 2),
        (Event(at=20, spec={"overrides": {"maxDowntime": "5s"}}), Phase.SUCCEEDED, 2),
    ],
)
def test_during_the_backoff_a_user_can_change_what_follows(event: Event, phase: Phase, tries: int) -> None:
    it = world(event).run(300)
    assert (it.status.phase, len(it.status.attempts)) == (phase, tries)


def test_a_shorter_backoff_counts_from_the_end_of_the_try_that_failed() -> None:
    it = world(edit(20, backoff="1s")).run(60)
    assert starts(it)[1] <= 22


def test_a_policy_that_is_deleted_during_the_backoff_is_waited_for_and_decides_once_it_is_back() -> None:
    gone = Event(at=20, policies={"p": None})
    back = edit(100)
    it = world(gone, back).run(100)
    assert (it.status.phase, len(it.status.attempts)) == (Phase.PENDING, 1)
    told = it.told(ConditionType.RECONCILING)
    assert told.reason == "PolicyNotFound"
    assert told.message.startswith(f"{STAYED}; whether it is tried again is not known: spec.policyRef names")
    assert len(it.run(110).status.attempts) == 2


def test_a_policy_that_does_not_come_back_is_not_waited_for_for_ever() -> None:
    it = world(Event(at=20, policies={"p": None})).run(1000)
    assert it.status.phase == Phase.FAILED
    ended = it.status.attempts[0].end
    assert ended is not None
    assert it.told(ConditionType.FAILED).last_transition_time - ended == timedelta(minutes=15)
    assert STAYED in it.told(ConditionType.FAILED).message


FAILED = Attempt(number=1, start=NOW, end=after(3600), outcome=AttemptOutcome.FAILED, error="no route")
P = policy("p", retry=RETRY, globalDefault=True)


def decided(status: VMMigrationStatus, at: float, *, labels: dict[str, str] | None = None) -> Decision:
    policies = [P, policy("s", selector={"namespaces": {"matchLabels": {"env": "prod"}}})]
    around = Surroundings(policies=policies, nodes={"node-a", "node-b"}, namespace_labels=labels)
    return decide(migration(status), around, now=after(at))


def test_a_namespace_that_can_t_be_read_just_now_does_not_end_the_tries() -> None:
    status = running(attempts=[FAILED], desired=decided(running(attempts=[]), 0, labels={}).status.desired)
    decision = decided(status, 3601)
    assert decision.status.phase == Phase.PENDING
    told = find_condition(decision.status.conditions, ConditionType.RECONCILING)
    assert told is not None
    assert told.reason == "NamespaceUnknown"


@pytest.mark.parametrize(("ready_again", "phase"), [(True, Phase.PENDING), (False, Phase.FAILED)])
def test_a_target_that_is_not_ready_between_tries_is_waited_for_so_long(
    ready_again: bool, phase: Phase
) -> None:
    away = target(ready=False, message="draining").replace(after_attempt=1)
    status = running(attempts=[FAILED], target=away, phase=Phase.PENDING)
    first = decided(status, 3700, labels={}).status
    told = find_condition(first.conditions, ConditionType.RECONCILING)
    assert told is not None
    assert (told.reason, told.message) == ("TargetNotReady", "draining")
    later = status.replace(conditions=first.conditions, waiting_since=first.waiting_since)
    if ready_again:
        later = later.replace(target=target().replace(after_attempt=1))
    last = decided(later, 3700 + 15 * 60, labels={}).status
    assert last.phase == phase
    assert (last.desired is not None) == ready_again


def test_what_was_in_the_way_already_while_an_attempt_ran_is_waited_for_from_then_on() -> None:
    before = waiting(running(attempts=[FAILED], source=source(), target=None)).replace(waiting_since=None)
    first = decided(before, 3630, labels={}).status
    assert (first.phase, first.waiting_since) == (Phase.PENDING, after(3630))


def test_attempts_that_are_forgotten_count_as_tries_that_failed() -> None:
    outcomes = [AttemptOutcome.RESTARTED, AttemptOutcome.FAILED]
    kept = [
        Attempt(number=number, start=NOW, end=NOW, outcome=outcomes[number % 2]) for number in range(61, 161)
    ]
    assert situation(migration(VMMigrationStatus(attempts=kept))).failures == 60 + 50


def test_an_attempt_in_which_a_restart_was_ordered_belongs_to_the_same_try_as_the_next_one() -> None:
    record = StepRecord(time=NOW, attempt=1, trigger="t", action="restart with {}", value="{}", revision=2)
    status = VMMigrationStatus(attempts=[FAILED, FAILED.replace(number=2)], steps=[record])
    assert situation(migration(status.replace(attempts=[FAILED]))).first_attempt_of_try == 1
    assert situation(migration(status)).first_attempt_of_try == 3
    assert situation(migration(status)).failures == 1
