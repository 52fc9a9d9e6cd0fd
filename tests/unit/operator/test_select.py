"""Which policy applies, and what is said of it and of the others."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from migrations_in_words import migration, policy

from vmferry_api.migrations import VMMigration
from vmferry_api.policies import MigrationPolicy
from vmferry_operator.decisions.select import (
    BUILT_IN,
    LONGEST_WHY,
    NoSelection,
    Selection,
    select_policy,
    then_policy_selection,
)

OTHERS = [policy("a"), policy("b")]
DB = {"vms": {"matchLabels": {"tier": "db"}}}
PROD = {"namespaces": {"matchLabels": {"env": "prod"}}}


def of(labels: dict[str, str] | None = None, **spec: object) -> VMMigration:
    return migration(metadata={"labels": labels or {}}, **spec)


def selected(
    what: VMMigration, policies: Sequence[MigrationPolicy], namespace: dict[str, str] | None = None
) -> Selection:
    found = select_policy(what, policies, {} if namespace is None else namespace)
    assert isinstance(found, Selection)
    return found


@pytest.mark.parametrize(
    ("policies", "spec", "name"),
    [
        (OTHERS, {"policyRef": {"name": "b"}}, "b"),
        ([*OTHERS, policy("d", globalDefault=True)], {"policyRef": {"name": "b"}}, "b"),
        ([*OTHERS, policy("s", selector={}, priority=9)], {"policyRef": {"name": "b"}}, "b"),
        ([policy("s", selector={}, priority=-9), policy("d", globalDefault=True, priority=9)], {}, "s"),
        ([*OTHERS, policy("d", globalDefault=True)], {}, "d"),
        ([policy("z", globalDefault=True, priority=1), policy("d", globalDefault=True)], {}, "z"),
        ([policy("z", globalDefault=True), policy("d", globalDefault=True)], {}, "d"),
        (OTHERS, {}, BUILT_IN),
        ([], {}, BUILT_IN),
    ],
)
def test_a_reference_wins_over_selectors_over_the_global_default_over_the_built_in_one(
    policies: list[MigrationPolicy], spec: dict[str, object], name: str
) -> None:
    assert selected(migration(**spec), policies).name == name


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ({}, True),
        ({"names": ["db-1"]}, True),
        ({"names": ["db-*"]}, True),
        ({"names": ["web-*", "db-?"]}, True),
        ({"names": ["DB-*"]}, False),
        ({"names": ["db"]}, False),
        ({"vms": {"matchLabels": {"tier": "db"}}}, True),
        ({"vms": {"matchLabels": {"tier": "db", "size": "xl"}}}, False),
        ({"vms": {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["db", "q"]}]}}, True),
        ({"vms": {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["db"]}]}}, False),
        ({"vms": {"matchExpressions": [{"key": "size", "operator": "NotIn", "values": ["xl"]}]}}, True),
        ({"vms": {"matchExpressions": [{"key": "tier", "operator": "Exists"}]}}, True),
        ({"vms": {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}}, False),
        ({"namespaces": {"matchLabels": {"env": "prod"}}}, True),
        ({"namespaces": {"matchLabels": {"env": "test"}}}, False),
        ({"names": ["db-*"], "vms": {"matchLabels": {"tier": "web"}}}, False),
    ],
)
def test_a_selector_matches_when_each_part_that_is_given_does(
    selector: dict[str, object], matches: bool
) -> None:
    found = selected(of({"tier": "db"}), [policy("p", selector=selector)], {"env": "prod"})
    assert (found.name == "p") is matches


@pytest.mark.parametrize(
    ("winner", "loser", "because"),
    [
        ({"priority": 1, "selector": {}}, {"selector": {"names": ["db-1"]}}, "priority 0"),
        ({"selector": {"names": ["db-1"]}}, {"selector": DB | PROD}, "less specific"),
        ({"selector": DB | PROD}, {"selector": DB}, "less specific"),
        ({"selector": DB}, {"selector": {}}, "less specific"),
        (
            {"selector": {"vms": {"matchLabels": {"tier": "db", "a": "b"}}}},
            {"selector": DB},
            "less specific",
        ),
        ({"selector": DB}, {"selector": {"names": ["db-*"]}}, "less specific"),
        ({"selector": DB}, {"selector": {"vms": {"matchLabels": {"a": "b"}}}}, "as specific, later by name"),
    ],
    ids=["priority", "exact name", "parts", "any part", "requirements", "labels before a pattern", "name"],
)
def test_of_several_the_higher_priority_wins_then_the_more_specific_then_the_name(
    winner: dict[str, object], loser: dict[str, object], because: str
) -> None:
    several = [policy("z", **loser), policy("a", **winner)]
    found = selected(of({"tier": "db", "a": "b"}), several, {"env": "prod"})
    assert found.name == "a"
    assert (
        f"also matching, but after it: z (priority 0{because.removeprefix('priority 0')}"
        in found.why.replace("priority 0, ", "priority 0")
    )


def test_those_that_do_not_match_say_what_they_need() -> None:
    policies = [
        policy("web", selector={"vms": {"matchLabels": {"tier": "web"}}}),
        policy("cache", selector={"names": ["cache-*"]}),
        policy("prod", selector=PROD),
        policy("d", globalDefault=True),
    ]
    why = selected(of(), policies).why
    assert why.startswith("global default: no spec.policyRef, no selector matches")
    assert "web needs tier=web" in why
    assert "cache needs a name like cache-*" in why
    assert "prod needs a namespace with env=prod" in why


def test_a_reference_to_nothing_is_told_with_what_there_is() -> None:
    found = select_policy(migration(policyRef={"name": "x"}), OTHERS, {})
    assert isinstance(found, NoSelection)
    assert found.reason == "PolicyNotFound"
    assert "there are: a, b)" in found.message


def test_a_reference_to_nothing_where_there_is_no_policy_at_all() -> None:
    found = select_policy(migration(policyRef={"name": "x"}), [], {})
    assert isinstance(found, NoSelection)
    assert "there are: none)" in found.message


def test_several_global_defaults_are_explained() -> None:
    policies = [policy("z", globalDefault=True, priority=1), policy("d", globalDefault=True)]
    assert "after it by priority, then name: d (priority 0)" in selected(migration(), policies).why


def test_while_the_namespace_is_unknown_a_policy_that_would_win_by_it_is_waited_for() -> None:
    policies = [policy("prod", selector=PROD, priority=1), policy("all", selector={})]
    found = select_policy(of(), policies, None)
    assert isinstance(found, NoSelection)
    assert found.reason == "NamespaceUnknown"
    assert "prod" in found.message


@pytest.mark.parametrize(
    "policies",
    [
        [policy("prod", selector=PROD), policy("all", selector={}, priority=1)],
        [policy("prod", selector=PROD | {"names": ["web-*"]}), policy("all", selector={})],
        [policy("any", selector={"namespaces": {}}, priority=1), policy("all", selector={})],
    ],
    ids=["it would not win", "it does not match by its name", "it asks nothing of the namespace"],
)
def test_while_the_namespace_is_unknown_what_it_can_t_change_is_decided(
    policies: list[MigrationPolicy],
) -> None:
    assert isinstance(select_policy(of(), policies, None), Selection)


def test_a_reference_needs_no_namespace() -> None:
    found = select_policy(of(policyRef={"name": "prod"}), [policy("prod", selector=PROD)], None)
    assert isinstance(found, Selection)


def test_the_built_in_default_is_the_agent_s_ramp() -> None:
    spec = selected(migration(), []).spec
    assert spec.agent_downtime_ramp is not None
    assert spec.max_downtime is None


def test_overrides_replace_single_tunables_and_leave_the_rest() -> None:
    mine = policy(
        "p", maxDowntime="1s", stallingLimit="7s", bandwidth={"perMigration": "1Gi", "postCopy": "2Gi"}
    )
    overrides = {"maxDowntime": "2s", "bandwidth": {"perMigration": "50Mi"}}
    spec = selected(migration(policyRef={"name": "p"}, overrides=overrides), [mine]).spec
    assert spec.max_downtime == timedelta(seconds=2)
    assert spec.stalling_limit == timedelta(seconds=7)
    assert spec.bandwidth is not None
    assert (spec.bandwidth.per_migration, spec.bandwidth.post_copy) == (50 * 2**20, 2 * 2**30)


def test_a_max_downtime_of_one_s_own_takes_the_ramp_s_place() -> None:
    spec = selected(migration(overrides={"maxDowntime": "2s"}), []).spec
    assert spec.agent_downtime_ramp is None


def test_a_max_downtime_of_one_s_own_is_that_of_an_objective() -> None:
    mine = policy("p", objective={"preferredDowntime": "300ms", "maxDowntime": "500ms"})
    spec = selected(migration(policyRef={"name": "p"}, overrides={"maxDowntime": "2s"}), [mine]).spec
    assert spec.objective is not None
    assert spec.objective.max_downtime == timedelta(seconds=2)
    assert spec.max_downtime is None


def test_the_last_try_s_policy_is_named_with_the_one_that_names_it() -> None:
    first = policy("first", retry={"attempts": 3, "thenPolicy": "last"})
    found = then_policy_selection(selected(of(policyRef={"name": "first"}), [first]), of(), [policy("last")])
    assert isinstance(found, Selection)
    assert (found.name, found.why) == ("last", "retry.thenPolicy of first: the last of 3 tries")


def test_a_missing_policy_of_the_last_try_is_told() -> None:
    first = policy("first", retry={"attempts": 3, "thenPolicy": "last"})
    found = then_policy_selection(selected(of(policyRef={"name": "first"}), [first]), of(), [first])
    assert isinstance(found, NoSelection)
    assert "retry.thenPolicy of MigrationPolicy first names last, which does not exist" in found.message


NAMES = st.text("abcdefgh-", min_size=1, max_size=80)


@given(names=st.lists(NAMES, max_size=40, unique=True), wins=st.booleans())
def test_however_many_policies_there_are_what_is_said_stays_readable(names: list[str], wins: bool) -> None:
    policies = [policy(name, selector={"names": ["x" * 200]}) for name in names]
    policies += [policy("q" * 200, selector={})] if wins else []
    assert len(selected(of(), policies).why) <= LONGEST_WHY


@given(order=st.permutations([policy("a", selector=DB), policy("b", selector={}), policy("c", selector=DB)]))
def test_the_order_in_which_policies_are_seen_makes_no_difference(order: list[MigrationPolicy]) -> None:
    found = selected(of({"tier": "db"}), order)
    assert found == selected(of({"tier": "db"}), sorted(order, key=lambda each: each.metadata.name))
    assert found.name == "a"
