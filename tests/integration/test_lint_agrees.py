"""`kubectl vmferry policy lint` and the API server judge the same policies alike."""

import json

import pytest
import yaml
from kubernetes import client

from kubectl_vmferry.commands.policy_lint import lint
from kubectl_vmferry.parameters import Contents
from vmferry_api import GROUP, VERSION
from written_policies import Corpus

SEEDS = (1, 2, 3)
MANY = 60
"""Policies of each seed."""


def refused_by_the_api_server(api, policy):
    """What it says; empty: it takes it."""
    try:
        api.create_cluster_custom_object(
            GROUP, VERSION, "migrationpolicies", policy, dry_run="All", field_validation="Strict"
        )
    except client.ApiException as error:
        return json.loads(error.body)["message"]
    return ""


def refused_by_lint(policy):
    text = yaml.safe_dump(policy)
    return "; ".join(
        each.message for each in lint([Contents(name="f", data=text.encode())]) if each.level == "error"
    )


def corpus(seed):
    made = Corpus(seed)
    return [made.policy() for _ in range(MANY)]


@pytest.mark.parametrize("seed", SEEDS)
def test_each_policy_of_a_corpus_is_taken_by_both_or_refused_by_both(api, seed):
    verdicts = [
        (policy, refused_by_the_api_server(api, policy), refused_by_lint(policy)) for policy in corpus(seed)
    ]
    differing = [each for each in verdicts if bool(each[1]) != bool(each[2])]
    assert differing == []
    taken = sum(not server for _, server, _ in verdicts)
    assert MANY * 0.2 < taken < MANY * 0.8, "a corpus of one kind proves little"
