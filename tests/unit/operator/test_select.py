import pytest
from migrations_in_words import migration, policy

from vmferry_operator.decisions.select import BUILT_IN, NoSelection, select_policy

OTHERS = [policy("a"), policy("b")]


@pytest.mark.parametrize(
    ("policies", "spec", "name"),
    [
        (OTHERS, {"policyRef": {"name": "b"}}, "b"),
        ([*OTHERS, policy("d", globalDefault=True)], {"policyRef": {"name": "b"}}, "b"),
        ([*OTHERS, policy("d", globalDefault=True)], {}, "d"),
        ([policy("z", globalDefault=True, priority=1), policy("d", globalDefault=True)], {}, "z"),
        ([policy("z", globalDefault=True), policy("d", globalDefault=True)], {}, "d"),
        (OTHERS, {}, BUILT_IN),
        ([], {}, BUILT_IN),
    ],
)
def test_a_reference_wins_over_the_global_default_over_the_built_in_one(policies, spec, name):
    assert select_policy(migration(**spec).spec, policies).name == name


def test_a_reference_to_nothing_is_told_with_what_there_is():
    found = select_policy(migration(policyRef={"name": "x"}).spec, OTHERS)
    assert isinstance(found, NoSelection)
    assert found.reason == "PolicyNotFound"
    assert "there are: a, b" in found.message


def test_several_global_defaults_are_explained():
    policies = [policy("z", globalDefault=True, priority=1), policy("d", globalDefault=True)]
    assert "after it by priority, then name: d" in select_policy(migration().spec, policies).why


def test_the_built_in_default_is_the_agent_s_ramp():
    spec = select_policy(migration().spec, []).spec
    assert spec.agent_downtime_ramp is not None
    assert spec.max_downtime is None


def test_overrides_replace_single_tunables_and_leave_the_rest():
    mine = policy(
        "p", maxDowntime="1s", stallingLimit="7s", bandwidth={"perMigration": "1Gi", "postCopy": "2Gi"}
    )
    overrides = {"maxDowntime": "2s", "bandwidth": {"perMigration": "50Mi"}}
    spec = select_policy(migration(policyRef={"name": "p"}, overrides=overrides).spec, [mine]).spec
    assert spec.max_downtime.total_seconds() == 2
    assert spec.stalling_limit.total_seconds() == 7
    assert (spec.bandwidth.per_migration, spec.bandwidth.post_copy) == (50 * 2**20, 2 * 2**30)


def test_a_max_downtime_of_one_s_own_takes_the_ramp_s_place():
    spec = select_policy(migration(overrides={"maxDowntime": "2s"}).spec, []).spec
    assert spec.agent_downtime_ramp is None
