"""push: what is changed so that a migration ends now, and when nothing is."""

from datetime import timedelta

import pytest
from migrations_shown import DESIRED, PROGRESS, at, migration, policy, running, told

from kubectl_vmferry.pushing import POST_COPY_POLICY, Push, Refused, post_copy_policy, push
from vmferry_api.policies import MigrationPolicy

LADDER = policy(
    maxDowntime="100ms",
    bandwidth={"perMigration": "50Mi"},
    steps=[
        {"after": {"stalled": "2s"}, "setMaxDowntime": "2s"},
        {"after": {"stalled": "2s"}, "setBandwidth": "100Mi"},
    ],
)
WITH_POST_COPY = policy(
    maxDowntime="100ms",
    steps=[
        {"after": {"passes": 3}, "setMaxDowntime": "500ms"},
        {"after": {"passes": 9}, "switchToPostCopy": {}},
    ],
)
SWITCHES = policy("at-once", steps=[{"after": {"passes": 3}, "switchToPostCopy": {}}])


def pushed(shown, *policies, most=None, post_copy=False):
    return push(
        shown,
        policies,
        most=None if most is None else timedelta(seconds=most),
        post_copy=post_copy,
        now=at(30),
    )


def test_the_highest_downtime_and_bandwidth_of_the_ladder_are_granted_at_once():
    made = pushed(running(), LADDER)
    assert made.spec == {"overrides": {"maxDowntime": "2s", "bandwidth": {"perMigration": "100Mi"}}}
    assert made.says == (
        "a stop of 2s is granted, 100Mi may be sent a second from now on, and the guest needs 1.28s"
    )


def test_what_the_policy_allows_may_not_do_and_then_the_ways_on_are_told():
    needs_more = running(progress={**PROGRESS, "neededDowntime": "4s"})
    assert (
        "that may not do; to go further: --max-downtime 4.4s or --allow-postcopy"
        in pushed(needs_more, LADDER).says
    )


def test_where_all_is_granted_nothing_is_done():
    granted = running(
        desired={**DESIRED, "maxDowntime": "2s", "bandwidth": "100Mi", "postCopyAllowed": False}
    )
    made = pushed(granted, LADDER)
    assert made == Refused(
        why="its policy allows no more than the 2s granted, and the guest needs 1.28s",
        cure="to go further: --max-downtime 1.5s",
    )


def test_a_longer_stop_than_the_policys_is_granted_only_when_told():
    assert pushed(running(), policy(maxDowntime="100ms"), most=3).spec == {"overrides": {"maxDowntime": "3s"}}


def test_the_agents_ramp_is_cut_short():
    made = pushed(
        running(desired={**DESIRED, "maxDowntime": None}), policy(agentDowntimeRamp={"max": "900ms"})
    )
    assert made.spec == {"overrides": {"maxDowntime": "900ms"}}


def test_without_any_policy_the_built_in_ramp_is():
    applied = {"name": "(built-in)", "why": "none"}
    desired = {name: value for name, value in DESIRED.items() if name != "maxDowntime"}
    assert pushed(running(policy=applied, desired=desired)).spec == {"overrides": {"maxDowntime": "500ms"}}


def test_an_objective_is_not_exceeded_unless_told():
    objective = policy(objective={"maxDowntime": "500ms", "preferredDowntime": "100ms"})
    assert pushed(running(), objective).why == (
        "its objective's planner grants 400ms by itself as soon as 100ms is found too little, and the guest needs "
        "1.28s"
    )
    further = pushed(running(), objective, most=2)
    assert further.spec == {"overrides": {"maxDowntime": "2s"}}
    assert further.says.startswith("the stop may now be 2s long: the planner grants")


def test_post_copy_that_the_policy_allows_is_brought_forward_where_no_downtime_does():
    made = pushed(running(), WITH_POST_COPY, SWITCHES)
    assert made.spec == {"policyRef": {"name": "at-once"}}
    assert made.create is None


def test_post_copy_that_the_policy_does_not_allow_takes_a_word():
    made = pushed(running(), LADDER, SWITCHES, post_copy=True)
    assert made.spec == {"policyRef": {"name": "at-once"}}
    assert "nothing aborts it" in made.says


def test_where_no_policy_switches_at_once_one_is_made():
    made = pushed(running(), LADDER, WITH_POST_COPY, post_copy=True)
    assert isinstance(made, Push)
    assert made.spec == {"policyRef": {"name": POST_COPY_POLICY}}
    there = MigrationPolicy.read(made.create)
    assert pushed(running(), LADDER, there, SWITCHES, post_copy=True).create is None
    assert pushed(running(), LADDER, there, SWITCHES, post_copy=True).spec == made.spec


def test_the_policy_that_is_made_is_one_that_lint_finds_nothing_against():
    from kubectl_vmferry.admission_rules import broken_rules  # noqa: PLC0415
    from kubectl_vmferry.policy_warnings import warnings  # noqa: PLC0415

    assert broken_rules(MigrationPolicy, post_copy_policy()) == []
    assert warnings(MigrationPolicy.read(post_copy_policy())) == []


def test_in_the_first_pass_the_switch_waits_for_its_end():
    first = running(progress={**PROGRESS, "pass": 1})
    assert "once all memory was sent once" in pushed(first, LADDER, post_copy=True).says


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        (running(phase="Succeeded"), "it is over: Succeeded"),
        (running(phase="PostCopy"), "it is in post-copy already"),
        (migration(), "nothing runs yet"),
        (
            running(attempts=[{"number": 1, "start": told(1), "end": told(2), "outcome": "Failed"}]),
            "nothing runs yet",
        ),
        (running(policy={"name": "gone", "why": ""}), "its policy gone is not there"),
    ],
)
def test_what_can_not_be_pushed_is_told(shown, why):
    assert pushed(shown, LADDER).why == why


def test_post_copy_needs_an_attempt_that_was_started_for_it():
    made = pushed(running(desired={**DESIRED, "postCopyAllowed": False}), LADDER, post_copy=True)
    assert "started without the possibility of post-copy" in made.why
    assert made.cure == "grant a longer stop: --max-downtime 1.5s"
