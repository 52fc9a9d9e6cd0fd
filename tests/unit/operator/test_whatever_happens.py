"""What holds of the decisions on one migration whatever its policy says, its agents do and its user edits."""

import os
import re
from collections.abc import Iterator

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from migrations_in_words import after
from objects_as_stored import written
from scenarios import hopeless, scenarios, switching, switching_scenario
from worlds import OWN_PART, Look, Scenario, World, asks_for_post_copy, in_force

from vmferry_api.migrations import (
    Desired,
    MigrationTechnique,
    Phase,
    VMMigration,
)
from vmferry_operator.decisions.decide import Decision, Surroundings, decide, own_part
from vmferry_operator.decisions.situations import in_post_copy

SECONDS = 160
EXAMPLES = int(os.environ.get("EXAMPLES", "10"))
"""Of each test; each is a whole life of a migration. More of them look deeper."""
some = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def desired_pairs(world: World) -> Iterator[tuple[Look, Desired, Desired]]:
    """Each decision that had something desired before it: with that, and with what is desired after it."""
    for look in world.looks:
        before, now = look.before.status.desired, look.after.status.desired
        if before is not None:
            assert now is not None
            yield look, before, now


@some
@given(scenario=scenarios())
def test_the_same_happenings_lead_to_the_same_decisions(scenario: Scenario) -> None:
    assert World(scenario).run(SECONDS).trail == World(scenario).run(SECONDS).trail


@some
@given(scenario=scenarios())
def test_deciding_again_on_what_was_just_written_changes_nothing(scenario: Scenario) -> None:
    for look in World(scenario).run(SECONDS).looks:
        around = Surroundings(
            policies=list(look.policies.values()), nodes={"node-a", "node-b"}, namespace_labels={}
        )
        again = decide(look.after, around, now=after(look.at))
        assert again.status.part(*OWN_PART) == own_part(look.after.status).part(*OWN_PART)


@some
@given(scenario=scenarios())
def test_how_often_it_is_asked_makes_no_difference_to_what_is_decided(scenario: Scenario) -> None:
    assert World(scenario, ask_every=0.1).run(60).trail == World(scenario).run(60).trail


def never_written(migration: VMMigration, decision: Decision) -> VMMigration:
    """What an operator keeps that never reads its own writes back."""
    fields = {name: getattr(decision.status, name) for name in OWN_PART[:-1]}
    own = {each.type for each in decision.status.conditions}
    theirs = [each for each in migration.status.conditions if each.type not in own]
    return migration.replace(
        status=migration.status.replace(**fields, conditions=[*theirs, *decision.status.conditions])
    )


def as_read_back(migration: VMMigration, decision: Decision) -> VMMigration:
    """The whole object as a new process reads it."""
    return VMMigration.model_validate_json(written(migration, decision).model_dump_json(by_alias=True))


@some
@given(scenario=scenarios())
def test_an_operator_that_is_restarted_between_any_two_decisions_decides_the_same(scenario: Scenario) -> None:
    always = World(scenario, keep=as_read_back).run(SECONDS)
    assert always.trail == World(scenario, keep=never_written).run(SECONDS).trail


@some
@given(scenario=scenarios())
def test_revisions_grow_by_one_for_each_change_and_never_else(scenario: Scenario) -> None:
    for _, before, now in desired_pairs(World(scenario).run(SECONDS)):
        assert now.revision - before.revision == (now != before)


@some
@given(scenario=scenarios())
def test_post_copy_is_ordered_only_while_the_policy_in_force_allows_it(scenario: Scenario) -> None:
    for look in World(scenario).run(SECONDS).looks:
        now = look.after.status.desired
        policy = in_force(look)
        if now is None or policy is None or in_post_copy(look.before) or not ran(look):
            continue
        if now.technique == MigrationTechnique.POST_COPY:
            assert asks_for_post_copy(policy.spec.as_json())


@some
@given(scenario=scenarios())
def test_post_copy_is_made_possible_only_for_attempts_that_the_hosts_can_do(scenario: Scenario) -> None:
    old_qemu = scenario.agent.qemu == "7.2.0"
    for look in World(scenario).run(SECONDS).looks:
        now = look.after.status.desired
        if now is None or not now.post_copy_allowed:
            continue
        assert "PostCopy" in scenario.agent.features
        parallel = now.start is not None and now.start.parallel_connections is not None
        assert not (parallel and old_qemu)


@some
@given(scenario=st.one_of(switching(), scenarios()))
def test_once_in_post_copy_nothing_is_aborted_restarted_suspended_or_taken_back(scenario: Scenario) -> None:
    for look, before, now in desired_pairs(World(scenario).run(SECONDS)):
        if not in_post_copy(look.before):
            continue
        assert (now.attempt, now.state, now.suspend) == (before.attempt, before.state, before.suspend)
        assert now.technique == MigrationTechnique.POST_COPY
        assert len(look.after.status.steps) == len(look.before.status.steps)
        if look.after.status.phase is not None and look.after.status.phase.terminal:
            assert look.after.status.phase == Phase.SUCCEEDED


def test_the_scenarios_that_switch_to_post_copy_do_so_and_users_act_on_it_then() -> None:
    """Or the property above would hold of nothing."""
    reached, acted = 0, 0
    for seed in range(20):
        looks = World(switching_scenario(seed)).run(40).looks
        during = [look for look in looks if in_post_copy(look.before)]
        reached += bool(during)
        acted += any(look.before.spec.cancel or look.before.metadata.deletion_timestamp for look in during)
    assert reached >= 15
    assert acted >= 3


@some
@given(scenario=scenarios())
def test_nothing_new_is_tried_once_it_is_to_be_cancelled(scenario: Scenario) -> None:
    for look in World(scenario).run(SECONDS).looks:
        if look.before.spec.cancel or look.before.metadata.deletion_timestamp is not None:
            assert len(look.after.status.steps) == len(look.before.status.steps)
            if look.before.status.desired is None:
                assert look.after.status.desired is None
            else:
                assert look.after.status.desired is not None
                assert look.after.status.desired.attempt == look.before.status.desired.attempt


@some
@given(scenario=hopeless())
def test_a_hopeless_guest_under_a_policy_with_an_end_comes_to_an_end(scenario: Scenario) -> None:
    world = World(scenario).run(1800)
    assert world.over
    assert world.status.desired is None or world.status.desired.revision <= 100


@some
@given(scenario=scenarios())
def test_every_change_of_what_is_desired_is_explained(scenario: Scenario) -> None:
    for look, before, now in desired_pairs(World(scenario).run(SECONDS)):
        if now == before:
            continue
        assert now.reason
        new = [step for step in look.after.status.steps if step.revision == now.revision]
        if re.search(" now says? so: ", now.reason):
            told = set(now.reason.partition(": ")[2].split(", "))
            assert told == differing(before, now)
            assert not new
        elif not now.reason.startswith(("the policy's start", "try ", "the nodes' bandwidth")):
            (step,) = new
            assert step.action in now.reason
            assert step.trigger in now.reason


def differing(before: Desired, now: Desired) -> set[str]:
    """The fields that differ, named as in the API, but for those that tell of the change itself."""
    told = {"revision", "reason", "time"}
    one, other = before.as_json(), now.as_json()
    return {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)} - told


@some
@given(scenario=scenarios())
def test_every_step_tells_what_it_was_due_by_and_what_came_of_it(scenario: Scenario) -> None:
    world = World(scenario).run(SECONDS)
    for step in world.status.steps:
        assert step.trigger
        assert step.action
        assert step.attempt is not None
        assert step.outcome.startswith(("Applied", "Failed: ", "Withdrawn: ", "Overtaken: ", "Pending"))
        valued = step.action.startswith(("setMaxDowntime", "setBandwidth", "restart with"))
        assert (step.value is not None) == valued
        if world.over and scenario.agent.dies_at is None:
            assert step.outcome != "Pending"
    revisions = [step.revision for step in world.status.steps]
    assert revisions == sorted(set(revisions))


@some
@given(scenario=scenarios())
def test_what_is_over_stays_as_it_is_and_is_let_go(scenario: Scenario) -> None:
    world = World(scenario).run(SECONDS)
    if not world.over:
        return
    last = world.looks[-1]
    assert not last.decision.finalizer
    around = Surroundings(policies=[], nodes=set(), namespace_labels=None)
    later = decide(world.migration, around, now=after(last.at + 10_000))
    assert later.status.part(*OWN_PART) == own_part(world.status).part(*OWN_PART)
    assert not later.delete


def ran(look: Look) -> bool:
    """Whether an attempt ran, as far as the operator could know."""
    attempts = look.before.status.attempts
    return bool(attempts) and attempts[-1].end is None
