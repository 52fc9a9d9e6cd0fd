"""Admission holds each writer of a migration's status to the fields that it really writes."""

import re
from pathlib import Path

import pytest
import yaml
from pydantic.alias_generators import to_camel

from kubectl_vmferry.diagnosis.admission import NAMES
from vmferry_agent.migrations import source_status
from vmferry_api import FINALIZER
from vmferry_api.migrations import VMMigrationStatus
from vmferry_api.owners import OPERATOR, SOURCE_AGENT, TARGET_AGENT
from vmferry_operator.decisions.decide import OWN_CONDITIONS, OWN_FIELDS

BASE = Path(__file__).parents[3] / "manifests" / "base"


def variables(file):
    policy, _binding = yaml.safe_load_all((BASE / file).read_text())
    return {each["name"]: each["expression"] for each in policy["spec"]["variables"]}


@pytest.fixture(scope="module")
def status():
    return variables("admission-migration-status.yaml")


def words(expression, role):
    """The list of words that an expression has for a role."""
    found = re.search(rf"variables\.role == '{role}' \? \[([^]]*)\]", expression)
    return set(re.findall(r"'(\w+)'", found.group(1))) if found else set()


@pytest.mark.parametrize(
    ("role", "fields"),
    [
        ("operator", {*OWN_FIELDS, "conditions"}),
        ("source", set(source_status.FIELDS)),
        ("target", {"target"}),
    ],
)
def test_each_writes_the_fields_that_it_writes_in_the_code(status, role, fields):
    assert words(status["fields"], role) == {to_camel(each) for each in fields}


@pytest.mark.parametrize(
    ("role", "types"),
    [("operator", OWN_CONDITIONS), ("source", source_status.CONDITIONS), ("target", ())],
)
def test_each_sets_the_conditions_that_it_sets_in_the_code(status, role, types):
    assert words(status["types"], role) == set(types)


def test_every_field_belongs_to_somebody_and_all_but_the_conditions_to_one(status):
    lists = [words(status["fields"], role) - {"conditions"} for role in ("operator", "source", "target")]
    assert sum(len(each) for each in lists) == len(set().union(*lists))
    fields = {to_camel(each) for each in VMMigrationStatus.model_fields} - {"conditions"}
    assert set().union(*lists) == fields


def test_each_writes_as_its_own_field_manager(status):
    assert re.findall(r"'(vmferry-[\w-]+)'", status["manager"]) == [OPERATOR, SOURCE_AGENT, TARGET_AGENT]


def test_the_operator_may_set_the_finalizer_that_it_sets():
    assert f"'{FINALIZER}'" in variables("admission-migrations.yaml")["finalizers"]


def test_each_policy_is_bound_applied_and_known_to_doctor():
    listed = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    files = sorted(each.name for each in BASE.glob("admission-*.yaml"))
    assert [each for each in sorted(listed) if each.startswith("admission-")] == files
    documents = [each for file in files for each in yaml.safe_load_all((BASE / file).read_text())]
    policies = [each for each in documents if each["kind"] == "ValidatingAdmissionPolicy"]
    bindings = [each["spec"] for each in documents if each["kind"] == "ValidatingAdmissionPolicyBinding"]
    assert sorted(each["metadata"]["name"] for each in policies) == sorted(NAMES)
    assert {each["spec"]["failurePolicy"] for each in policies} == {"Fail"}
    assert bindings == [
        {"policyName": each["metadata"]["name"], "validationActions": ["Deny"]} for each in policies
    ]
