"""Label selectors as Kubernetes has them, the parts of a policy's selector, and how they rank."""

import pytest
from migrations_in_words import migration, policy

from vmferry_api.policies import LabelSelector, PolicySelector
from vmferry_operator.decisions.candidates import needs, ranked
from vmferry_operator.decisions.labels import requirements, unmet
from vmferry_operator.decisions.selectors import match

LABELS = {"tier": "db", "env": "prod", "empty": ""}


def expression(key: str, operator: str, *values: str) -> dict[str, object]:
    return {
        "matchExpressions": [
            {"key": key, "operator": operator, **({"values": list(values)} if values else {})}
        ]
    }


@pytest.mark.parametrize(
    ("selector", "in_vain"),
    [
        ({}, None),
        ({"matchLabels": {"tier": "db"}}, None),
        ({"matchLabels": {"tier": "web"}}, "tier=web"),
        ({"matchLabels": {"none": "x"}}, "none=x"),
        ({"matchLabels": {"empty": ""}}, None),
        ({"matchLabels": {"none": ""}}, "none="),
        ({"matchLabels": {"tier": "web", "env": "dev"}}, "env=dev and tier=web"),
        (expression("tier", "In", "web", "db"), None),
        (expression("tier", "In", "web"), "tier in (web)"),
        (expression("none", "In", "web"), "none in (web)"),
        (expression("tier", "NotIn", "web"), None),
        (expression("none", "NotIn", "web"), None),
        (expression("tier", "NotIn", "db", "web"), "tier notin (db, web)"),
        (expression("tier", "Exists"), None),
        (expression("none", "Exists"), "none"),
        (expression("none", "DoesNotExist"), None),
        (expression("tier", "DoesNotExist"), "!tier"),
        ({"matchLabels": {"tier": "web"}, **expression("none", "Exists")}, "tier=web and none"),
    ],
)
def test_a_label_selector_tells_in_kubectl_s_words_what_it_asks_for_in_vain(
    selector: dict[str, object], in_vain: str | None
) -> None:
    assert unmet(LabelSelector.model_validate(selector), LABELS) == in_vain


@pytest.mark.parametrize(
    ("selector", "count"),
    [(None, 0), ({}, 0), ({"matchLabels": {"a": "1", "b": "2"}, **expression("c", "Exists")}, 3)],
)
def test_the_requirements_of_a_selector_are_counted(selector: dict[str, object] | None, count: int) -> None:
    assert requirements(None if selector is None else LabelSelector.model_validate(selector)) == count


@pytest.mark.parametrize(
    ("selector", "in_vain"),
    [
        ({}, None),
        ({"names": ["db-1"]}, None),
        ({"names": ["db-*"]}, None),
        ({"names": ["db-?"]}, None),
        ({"names": ["DB-*"]}, "a name like DB-*"),
        ({"names": ["web-*", "cache"]}, "a name like web-* or cache"),
        ({"vms": {"matchLabels": {"tier": "web"}}}, "tier=web"),
        ({"namespaces": {"matchLabels": {"env": "dev"}}}, "a namespace with env=dev"),
        ({"names": ["x"], "vms": {"matchLabels": {"tier": "web"}}}, "a name like x"),
        ({"names": ["db-*"], "vms": {"matchLabels": {"tier": "db"}}, "namespaces": {}}, None),
    ],
)
def test_every_part_of_a_policy_s_selector_must_fit(selector: dict[str, object], in_vain: str | None) -> None:
    found = match(
        PolicySelector.model_validate(selector), migration(metadata={"labels": LABELS}), {"env": "prod"}
    )
    assert found.unmet == in_vain
    assert found.certain == (in_vain is None)


def test_a_name_with_brackets_fits_itself() -> None:
    assert match(PolicySelector(names=["vm[1]"]), migration(vm="vm[1]"), {}).certain


@pytest.mark.parametrize(
    ("selector", "unknown"),
    [
        ({"namespaces": {"matchLabels": {"env": "prod"}}}, True),
        ({"namespaces": {}}, False),
        ({"names": ["x"], "namespaces": {"matchLabels": {"env": "prod"}}}, False),
    ],
)
def test_a_namespace_that_can_t_be_read_matters_only_where_it_decides(
    selector: dict[str, object], unknown: bool
) -> None:
    found = match(PolicySelector.model_validate(selector), migration(), None)
    assert found.namespace_unknown == unknown
    assert not (unknown and found.certain)


IN_RANK = [
    policy("urgent", priority=1, selector={"names": ["web"]}),
    policy("by-name", selector={"names": ["db-1"]}),
    policy("two-parts", selector={"names": ["*"], "vms": {"matchLabels": {"tier": "db"}}}),
    policy("two-labels", selector={"vms": {"matchLabels": {"tier": "db", "env": "prod"}}}),
    policy("a-label", selector={"vms": {"matchLabels": {"tier": "db"}}}),
    policy("b-label", selector={"vms": {"matchLabels": {"tier": "db"}}}),
    policy("all", selector={}),
    policy("last", priority=-1, selector={"names": ["db-1"]}),
]


def test_policies_rank_by_priority_then_how_closely_they_select_then_name() -> None:
    it = migration(metadata={"labels": LABELS})
    shuffled = [*reversed(IN_RANK), policy("no-selector")]
    assert [each.name for each in ranked(it, shuffled, {})] == [each.metadata.name for each in IN_RANK]


def test_each_candidate_says_what_it_needs_or_what_puts_it_behind_the_winner() -> None:
    candidates = ranked(migration(metadata={"labels": LABELS}), IN_RANK, {})
    assert needs(candidates) == ["urgent needs a name like web"]
    by_name, second = candidates[1], candidates[4]
    assert [each.behind(by_name) for each in candidates[2:]][-2:] == [
        "priority 0, less specific",
        "priority -1",
    ]
    assert candidates[5].behind(second) == "priority 0, as specific, later by name"
