"""`kubectl vmferry policy lint` and the API server judge the same policies alike."""

import json

import pytest
from kubernetes import client

from kubectl_vmferry.commands.policy_lint import lint
from kubectl_vmferry.parameters import Contents
from vmferry_api import API_VERSION, GROUP, VERSION
from vmferry_lab.kubectl import Kubectl, KubectlError
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


def refused_by_kubectl(control_plane, text):
    """What kubectl or the API server says; empty: they take it."""
    try:
        Kubectl(control_plane.kubeconfig()).run(
            "create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text
        )
    except KubectlError as error:
        return str(error)
    return ""


def refused_by_lint(text):
    return "; ".join(
        each.message for each in lint([Contents(name="f", data=text.encode())]) if each.level == "error"
    )


def corpus(seed):
    made = Corpus(seed)
    return [made.policy() for _ in range(MANY)]


@pytest.mark.parametrize("seed", SEEDS)
def test_each_policy_of_a_corpus_is_taken_by_both_or_refused_by_both(api, seed):
    verdicts = [
        (policy, refused_by_the_api_server(api, policy), refused_by_lint(json.dumps(policy)))
        for policy in corpus(seed)
    ]
    differing = [each for each in verdicts if bool(each[1]) != bool(each[2])]
    assert differing == []
    taken = sum(not server for _, server, _ in verdicts)
    assert MANY * 0.2 < taken < MANY * 0.8, "a corpus of one kind proves little"


TAKEN = [
    *(
        ("spec", f"bandwidth: {{perMigration: {number}}}")
        for number in ("1e9", "100000000.0", "100_000_000", "0x7ffffff", "1.5e8", "64Mi", "+1e9", '"1Gi"')
    ),
    *(
        ("spec", f"priority: {number}")
        for number in ("1e2", "5.0", "0o10", "010", "08", "0b11", "-0x1", "+.5e1")
    ),
    *(("spec", f"globalDefault: {flag}") for flag in ("yes", "On", "no", "true", "~")),
    ("spec", "description: 1:30"),
    ("spec", "description: 2026-01-02"),
    ("spec", "description: 2026-01-02T03:04:05Z"),
    ("metadata", "generateName: a-"),
    ("metadata", 'name: p, labels: {tier: db, example.com/tier: "", 7: a}'),
    ("metadata", 'name: p, annotations: {Example.com/Tier: "a b"}'),
    ("metadata", "name: p, annotations: {a: 2026-01-02}"),
    ("status", "observedGeneration: 3"),
]
REFUSED = [
    *(("spec", f"priority: {number}") for number in ("1.5", "5.5e0", '"5"', "0o8", ".inf", "1:30", "1e")),
    *(
        ("spec", f"bandwidth: {{perMigration: {number}}}")
        for number in ("1.5", '"1e9"', "1e30", ".nan", "-1e9")
    ),
    *(("spec", f"globalDefault: {flag}") for flag in ("1", '"yes"', "oN")),
    ("spec", "description: 1e9"),
    ("spec", "description: yes"),
    ("metadata", "generateName: A-"),
    ("metadata", "name: Bad, generateName: a-"),
    ("metadata", 'name: p, labels: {"x y": z}'),
    ("metadata", "name: p, labels: {x: y z}"),
    ("metadata", "name: p, labels: {x: 7}"),
    ("metadata", "name: p, labels: {x: yes}"),
    ("metadata", "name: p, labels: [x]"),
    ("metadata", "name: p, annotations: {a/b/c: d}"),
    ("metadata", "name: p, lables: {x: z}"),
    ("status", "foo: 1"),
    ("status", "conditions: [{type: A, foo: 1}]"),
]


def written(place, fields):
    """A policy as somebody wrote it."""
    parts = {"metadata": "name: p", "spec": "", place: fields}
    return "\n".join(
        [f"apiVersion: {API_VERSION}", "kind: MigrationPolicy"]
        + [f"{part}: {{{inside}}}" for part, inside in parts.items()]
    )


@pytest.mark.parametrize(
    ("place", "fields", "taken"),
    [*((*each, True) for each in TAKEN), *((*each, False) for each in REFUSED)],
)
def test_spellings_and_metadata_are_taken_by_both_or_refused_by_both(control_plane, place, fields, taken):
    text = written(place, fields)
    said = (refused_by_kubectl(control_plane, text), refused_by_lint(text))
    assert [not each for each in said] == [taken, taken], said
