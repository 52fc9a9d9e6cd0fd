"""explain: which policy, why not the others, and what it does."""

import pytest
from migrations_shown import migration, policy

from kubectl_vmferry.views.policy_words import in_words
from kubectl_vmferry.views.selection import by_reason, choice
from vmferry_operator.decisions.select import NoSelection

BY_NAME = policy("by-name", selector={"names": ["db-1"]})
BY_PATTERN = policy("by-pattern", selector={"names": ["db-*"]})
BY_LABEL = policy("by-label", selector={"vms": {"matchLabels": {"tier": "cache"}}})
BY_NAMESPACE = policy("by-namespace", selector={"namespaces": {"matchLabels": {"team": "a"}}}, priority=-1)
DEFAULT = policy("default", globalDefault=True)
PLAIN = policy("plain")
ALL = [PLAIN, DEFAULT, BY_LABEL, BY_PATTERN, BY_NAME, BY_NAMESPACE]


def verdicts(shown, labels=None):
    made = choice(shown, ALL, labels)
    return [(each.policy, each.chosen, each.why) for each in made.verdicts]


def test_the_chosen_one_comes_first_then_those_that_match_too():
    assert verdicts(migration(), {}) == [
        ("by-name", True, "its selector matches (priority 0)"),
        ("by-pattern", False, "it matches, too, but goes after by-name: priority 0, less specific"),
        ("by-label", False, "it needs tier=cache"),
        ("by-namespace", False, "it needs a namespace with team=a"),
        ("default", False, "the global default, for what nothing else selects"),
        ("plain", False, "it has no selector: it applies only where spec.policyRef names it"),
    ]


def test_those_that_are_passed_over_for_one_reason_are_told_together():
    made = choice(migration(spec={"policyRef": {"name": "default"}}), [PLAIN, DEFAULT, policy("other")], {})
    assert list(by_reason(made.verdicts)) == [
        ("it has no selector: it applies only where spec.policyRef names it", ["other", "plain"])
    ]


def test_a_reference_goes_before_selectors():
    shown = verdicts(migration(spec={"policyRef": {"name": "plain"}}), {})
    assert shown[0] == ("plain", True, "named by spec.policyRef")
    assert ("by-name", False, "it matches, too, but spec.policyRef goes before selectors") in shown


def test_what_is_not_known_of_the_namespace_is_told():
    assert ("by-namespace", False, "it may match: the labels of the namespace can't be read") in verdicts(
        migration()
    )


def test_the_built_in_default_is_chosen_where_there_is_nothing():
    made = choice(migration(), [PLAIN], {})
    assert made.verdicts[0].policy == "(built-in)"
    assert made.verdicts[0].why.startswith("built-in default")


def test_a_reference_to_nothing_chooses_none():
    made = choice(migration(spec={"policyRef": {"name": "gone"}}), [PLAIN], {})
    assert isinstance(made.selection, NoSelection)
    assert [each.chosen for each in made.verdicts] == [False]


GIB = 2**30


@pytest.mark.parametrize(
    ("spec", "lines"),
    [
        ({}, ["grants a stop of 300ms at first"]),
        ({"agentDowntimeRamp": {}}, ["the agent raises the granted stop in 5 steps up to 500ms"]),
        (
            {"bandwidth": {"perMigration": "50Mi", "perNode": "1Gi"}},
            ["sends at most 50 MiB/s", "all migrations of a node share 1.0 GiB/s each way"],
        ),
        (
            {"start": {"autoConverge": {}, "parallelConnections": 4, "zeroCopy": True}},
            ["starts with auto-converge from 20 %, 10 more each time, 4 parallel connections, zero copy"],
        ),
        (
            {"start": {"compression": {"method": "XBZRLE"}, "encryption": "Required"}},
            ["starts with compression by XBZRLE, encryption Required"],
        ),
        (
            {
                "steps": [
                    {"after": {"stalled": "2s"}, "setMaxDowntime": "500ms"},
                    {"after": {"passes": 4}, "setBandwidth": "400Mi"},
                    {"after": {"elapsed": "5m"}, "suspend": {}},
                    {"after": {"elapsedPerGiB": "20s"}, "abort": {}},
                ]
            },
            [
                "step 1: setMaxDowntime 500ms, once it has stalled for 2s",
                "step 2: setBandwidth 400Mi, once it comes to pass 4",
                "step 3: suspend, 5m after the start",
                "step 4: abort, 20s per GiB of memory after the start",
            ],
        ),
        (
            {
                "objective": {
                    "maxDowntime": "1s",
                    "completeWithin": "10m",
                    "completeWithinPerGiB": "15s",
                    "allow": ["PostCopy", "AutoConverge"],
                    "postCopy": "AfterFirstPass",
                }
            },
            [
                "grants up to 900ms as soon as less does not do, so that the stop stays within 1s",
                "may switch to post-copy, as soon as all memory was sent once",
                "may slow the guest down, once pre-copy is found hopeless",
                "is to be over after 10m30s",
                "gives up when nothing that is allowed can reach that; the VM stays on its source",
            ],
        ),
        (
            {"objective": {"maxDowntime": "1s", "otherwise": "KeepTrying"}},
            ["goes on when nothing that is allowed can reach that, until the VM has moved or is cancelled"],
        ),
        (
            {"timeout": {"perGiB": "150s"}, "retry": {"attempts": 3, "thenPolicy": "post-copy"}},
            ["the agent gives up after 5m in any case", "tries up to 3 times, the last one by post-copy"],
        ),
        ({"stallingLimit": "4s"}, ["calls it stalling when the needed downtime has not fallen for 4s"]),
    ],
)
def test_a_policy_is_told_in_words(spec, lines):
    told = in_words(policy(**spec).spec, 2 * GIB)
    assert [line for line in lines if line not in told] == []


def test_what_is_reckoned_per_gib_of_a_vm_that_is_not_known_says_so():
    spec = policy(
        objective={"maxDowntime": "1s", "completeWithin": "10m", "completeWithinPerGiB": "15s"}
    ).spec
    assert "is to be over after 10m and more for each GiB" in in_words(spec, None)
