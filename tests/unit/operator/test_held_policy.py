"""An attempt keeps the policy that it was ordered by, to its end."""

from collections.abc import Mapping
from datetime import timedelta

import pytest
from worlds import Agent, Event, Guest, Scenario, World

from vmferry_api.conditions import ConditionType
from vmferry_operator.decisions.select import BUILT_IN

Spec = Mapping[str, object]

HOPELESS = Guest(needed=4000, first_pass=4)
OBEYS = Agent()
FOR_DB = {"selector": {"names": ["db-*"]}}
OTHER = {**FOR_DB, "priority": 5, "maxDowntime": "50ms"}
RESTARTS = {"steps": [{"after": {"elapsed": "20s"}, "restart": {"start": {"encryption": "Required"}}}]}
TWICE = {"retry": {"attempts": 2, "backoff": "1s"}}


def world(*events: Event, agent: Agent = OBEYS, ref: str | None = None, **policies: Spec) -> World:
    return World(Scenario(policies=policies, policy_ref=ref, guest=HOPELESS, agent=agent, events=events))


def held(it: World) -> tuple[str, int]:
    """The policy's name, and the downtime that is granted, in milliseconds; 0: the agent's ramp."""
    assert it.status.policy is not None
    granted = it.desired.max_downtime or timedelta(0)
    return it.status.policy.name, round(granted.total_seconds() * 1000)


def changes(at: int, **policies: Spec | None) -> Event:
    return Event(at=at, policies=policies)


P = {**FOR_DB, "maxDowntime": "100ms"}
DEFAULT = {"globalDefault": True, "maxDowntime": "100ms"}


@pytest.mark.parametrize(
    ("policies", "event", "expected"),
    [
        ({"p": P}, changes(9, q=OTHER), ("p", 100)),
        ({"p": P}, changes(9, p={**P, "selector": {"names": ["other"]}}), ("p", 100)),
        ({"p": P}, changes(9, p={**P, "maxDowntime": "200ms"}), ("p", 200)),
        ({"p": P}, changes(9, p=None), ("p", 100)),
        ({"p": P}, changes(9, p=None, q=OTHER), ("p", 100)),
        ({"p": DEFAULT}, changes(9, q=OTHER), ("p", 100)),
        ({"p": DEFAULT}, changes(9, p={"maxDowntime": "200ms"}), ("p", 200)),
        ({}, changes(9, q=OTHER), (BUILT_IN, 0)),
        ({"p": P}, Event(at=9, spec={"overrides": {"maxDowntime": "300ms"}}), ("p", 300)),
        ({}, Event(at=9, spec={"overrides": {"maxDowntime": "300ms"}}), (BUILT_IN, 300)),
        ({"p": P, "q": OTHER}, Event(at=9, spec={"policyRef": {"name": "p"}}), ("p", 100)),
        ({"p": P}, Event(at=9, spec={"policyRef": {"name": "none"}}), ("p", 100)),
    ],
)
def test_what_an_edit_changes_of_the_attempt_that_runs(
    policies: Mapping[str, Spec], event: Event, expected: tuple[str, int]
) -> None:
    assert held(world(event, **policies).run(30)) == expected


def test_a_reference_that_is_changed_or_removed_counts_at_once() -> None:
    removed = Event(at=20, spec={"policyRef": None})
    it = world(Event(at=10, spec={"policyRef": {"name": "q"}}), removed, p=P, q={"maxDowntime": "70ms"})
    assert held(it.run(9)) == ("p", 100)
    assert held(it.run(15)) == ("q", 70)
    assert it.status.policy is not None
    assert it.status.policy.why == "named by spec.policyRef; it goes before selectors, also of: p"
    assert held(it.run(30)) == ("p", 100)


@pytest.mark.parametrize(
    ("events", "says_so"),
    [
        ([changes(9, p={**P, "maxDowntime": "200ms"})], "the policy now says so"),
        ([Event(at=9, spec={"overrides": {"maxDowntime": "300ms"}})], "spec.overrides now say so"),
        (
            [
                Event(at=9, spec={"overrides": {"maxDowntime": "300ms"}}),
                Event(at=20, spec={"overrides": None}),
            ],
            "the policy, with spec.overrides gone, now says so",
        ),
        (
            [
                Event(at=9, spec={"overrides": {"maxDowntime": "300ms"}}),
                changes(20, p={**P, "bandwidth": {"perMigration": "50Mi"}}),
            ],
            "the policy now says so",
        ),
        (
            [
                Event(
                    at=9,
                    policies={"p": {**P, "bandwidth": {"perMigration": "50Mi"}}},
                    spec={"overrides": {"maxDowntime": "300ms"}},
                )
            ],
            "the policy and spec.overrides now say so",
        ),
        ([Event(at=9, spec={"policyRef": {"name": "q"}})], "policy q, by spec.policyRef, now says so"),
        (
            [Event(at=9, spec={"policyRef": {"name": "q"}}), Event(at=20, spec={"policyRef": None})],
            "policy p, with spec.policyRef gone, now says so",
        ),
        (
            [
                Event(at=9, spec={"policyRef": {"name": "p"}}),
                changes(20, p={**P, "maxDowntime": "200ms"}),
            ],
            "the policy now says so",
        ),
    ],
)
def test_what_changes_without_a_step_is_told_with_who_wants_it(events: list[Event], says_so: str) -> None:
    it = world(*events, p=P, q={"maxDowntime": "70ms"}).run(30)
    told, _, parameters = it.desired.reason.partition(": ")
    assert told == says_so
    assert parameters in {"maxDowntime", "bandwidth", "maxDowntime, bandwidth"}


def test_it_is_told_that_the_policy_is_held_and_since_when() -> None:
    it = world(changes(9, q=OTHER), p=P).run(30)
    assert it.status.policy is not None
    assert it.status.policy.why == "its selector matches (priority 0); held since the attempt began"
    assert it.told(ConditionType.ACCEPTED).message == it.status.policy.why


def test_of_a_policy_that_is_deleted_what_is_in_force_stays_and_the_trail_is_settled() -> None:
    """Its last step was taken and not yet answered when it went."""
    steps = {"steps": [{"after": {"passes": 2}, "setMaxDowntime": "300ms"}]}
    it = world(changes(7, p=None), agent=Agent(delay=5), p={**P, **steps}).run(30)
    assert held(it) == ("p", 300)
    told = it.told(ConditionType.ACCEPTED)
    assert (told.status, told.reason) == ("False", "PolicyNotFound")
    assert told.message.startswith("MigrationPolicy p, by which the attempt goes, does not exist any more")
    (step,) = it.status.steps
    assert (step.outcome, step.effective is not None) == ("Applied", True)


def test_a_policy_that_is_created_anew_is_gone_on_by() -> None:
    it = world(changes(9, p=None), changes(20, p={**P, "maxDowntime": "250ms"}), p=P)
    assert held(it.run(30)) == ("p", 250)
    assert it.told(ConditionType.ACCEPTED).status == "True"


def test_a_restart_is_no_reason_to_select_anew_and_another_try_is() -> None:
    it = world(changes(10, q=OTHER), agent=Agent(fails={2: 10}), p={**P, **RESTARTS, **TWICE})
    it.run(30)
    assert (it.desired.attempt, held(it)) == (2, ("p", 100))
    it.run(60)
    assert [attempt.outcome for attempt in it.status.attempts] == ["Restarted", "Failed"]
    again = world(changes(10, q={**OTHER, **TWICE}), agent=Agent(fails={1: 20}), p={**P, **TWICE}).run(60)
    assert (again.desired.attempt, held(again)) == (2, ("q", 50))


@pytest.mark.parametrize(
    "retry",
    [{"attempts": 2, "thenPolicy": "then"}, {"attempts": 4, "thenPolicy": "p"}, {"attempts": 3}],
)
def test_the_last_try_keeps_its_policy_whatever_becomes_of_retry(retry: Spec) -> None:
    first = {"retry": {"attempts": 3, "backoff": "1s", "thenPolicy": "then"}}
    edit = changes(60, p={"retry": {"backoff": "1s", **retry}})
    agent = Agent(fails={1: 10, 2: 10})
    it = world(edit, agent=agent, ref="p", p=first, then={"maxDowntime": "150ms"}).run(100)
    assert (it.desired.attempt, held(it)) == (3, ("then", 150))
