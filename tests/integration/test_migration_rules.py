"""What can never be right in a VMMigration is refused, and what must not change doesn't."""

from typing import Any

import pytest
from kubernetes import client

from vmferry_api import API_VERSION, GROUP, VERSION
from vmferry_api.crd.definitions import NOT_LOOKED_AT
from vmferry_api.owners import OPERATOR

SPEC = {"vm": "db-1", "sourceNode": "node-a", "targetNode": "node-b"}
DESIRED = {
    "revision": 3,
    "state": "Migrate",
    "attempt": 1,
    "technique": "PreCopy",
    "stallingLimit": "10s",
    "progressTimeout": "150s",
}

GOOD = {
    "the least": SPEC,
    "nodes with long names": {**SPEC, "sourceNode": "a.b-1.example.com", "targetNode": "1.b"},
    "a VM with a strange name": {**SPEC, "vm": "Größe 1 (alt) %$"},
    "the most": {
        **SPEC,
        "policyRef": {"name": "post-copy"},
        "overrides": {
            "maxDowntime": "1s",
            "bandwidth": {"perMigration": "1Gi"},
            "stallingLimit": "5s",
            "progressTimeout": "0s",
            "timeout": {"base": "1h"},
        },
        "cancel": False,
        "ttlAfterFinished": "24h",
    },
}


@pytest.mark.parametrize("spec", GOOD.values(), ids=GOOD)
def test_a_migration_that_makes_sense_is_accepted(refusals, spec):
    assert refusals("VMMigration", spec) == ""


BAD = [
    ({**SPEC, "targetNode": "node-a"}, "targetNode must differ from sourceNode"),
    ({"vm": "db-1", "sourceNode": "node-a"}, "spec.targetNode: Required value"),
    ({**SPEC, "vm": ""}, "spec.vm in body should be at least 1 chars long"),
    ({**SPEC, "overrides": {"maxDowntime": "x"}}, "maxDowntime must be a duration such as 1s"),
    ({**SPEC, "overrides": {"stallingLimit": "x"}}, "stallingLimit must be a duration"),
    ({**SPEC, "overrides": {"progressTimeout": "x"}}, "progressTimeout must be a duration"),
    ({**SPEC, "overrides": {"bandwidth": {"perMigration": "x"}}}, "perMigration must be a quantity"),
    ({**SPEC, "ttlAfterFinished": "1d"}, "ttlAfterFinished must be a duration such as 24h"),
    ({**SPEC, "polcyRef": {"name": "x"}}, 'unknown field "spec.polcyRef"'),
    ({**SPEC, "policyRef": {}}, "spec.policyRef.name: Required value"),
    (
        {**SPEC, "policyRef": {"name": "a/b"}},
        "policyRef.name must be the name of an object such as post-copy",
    ),
    ({**SPEC, "sourceNode": ".."}, "sourceNode must be the name of an object such as node-a"),
    ({**SPEC, "targetNode": "a/b c%"}, "targetNode must be the name of an object such as node-b"),
    ({**SPEC, "targetNode": "Node-B"}, "targetNode must be the name of an object such as node-b"),
    ({**SPEC, "vm": "g1\0x"}, "vm must be the name or UUID of a libvirt domain"),
    ({**SPEC, "vm": "g1\n"}, "vm must be the name or UUID of a libvirt domain"),
]


@pytest.mark.parametrize(("spec", "message"), BAD, ids=[message for _, message in BAD])
def test_a_migration_that_can_never_be_right_is_refused_with_the_way_out(refusals, spec, message):
    assert message in refusals("VMMigration", spec)


def patch_spec(api: client.CustomObjectsApi, migration: dict[str, Any], **spec: Any) -> str:
    """What the API server has against a change of the spec."""
    name = migration["metadata"]["name"]
    try:
        api.patch_namespaced_custom_object(GROUP, VERSION, "default", "vmmigrations", name, {"spec": spec})
    except client.ApiException as error:
        return str(error.body)
    return ""


def patch_status(operator_api: client.CustomObjectsApi, migration: dict[str, Any], **status: Any) -> str:
    """What the API server has against a change of the status by the operator."""
    return _patched(operator_api, migration, status)


def _patched(api: client.CustomObjectsApi, migration: dict[str, Any], status: dict[str, Any] | None) -> str:
    name = migration["metadata"]["name"]
    try:
        api.patch_namespaced_custom_object_status(
            GROUP, VERSION, "default", "vmmigrations", name, {"status": status}, field_manager=OPERATOR
        )
    except client.ApiException as error:
        return str(error.body)
    return ""


def remove_status(operator_api: client.CustomObjectsApi, migration: dict[str, Any]) -> str:
    """What the API server has against the removal of the whole status by the operator."""
    return _patched(operator_api, migration, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [("vm", "db-2"), ("sourceNode", "node-c"), ("targetNode", "node-c"), ("ttlAfterFinished", "2h")],
)
def test_what_is_to_move_and_where_is_immutable(api, migration, field, value):
    assert f"{field} is immutable" in patch_spec(api, migration, **{field: value})


def test_ttl_after_finished_can_t_be_removed(api, migration):
    assert "ttlAfterFinished is immutable" in patch_spec(api, migration, ttlAfterFinished=None)


def test_policy_and_overrides_may_change(api, migration):
    changes = {"policyRef": {"name": "other"}, "overrides": {"maxDowntime": "2s"}}
    assert patch_spec(api, migration, **changes) == ""
    assert patch_spec(api, migration, policyRef=None) == ""


def test_cancel_can_t_be_taken_back(api, migration):
    assert patch_spec(api, migration, cancel=True) == ""
    assert "cancel can't be taken back" in patch_spec(api, migration, cancel=False)
    assert "cancel can't be taken back" in patch_spec(api, migration, cancel=None)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Cancelled"])
def test_a_terminal_phase_never_changes(operator_api, migration, phase):
    assert patch_status(operator_api, migration, phase="Running") == ""
    assert patch_status(operator_api, migration, phase=phase) == ""
    assert "a terminal phase never changes" in patch_status(operator_api, migration, phase="Running")
    assert "a terminal phase never changes" in patch_status(operator_api, migration, phase=None)
    assert "a terminal phase never changes" in remove_status(operator_api, migration)


def test_a_revision_never_goes_back(operator_api, migration):
    assert patch_status(operator_api, migration, desired=DESIRED) == ""
    assert "desired.revision must not go back" in patch_status(
        operator_api, migration, desired={"revision": 2}
    )
    assert patch_status(operator_api, migration, desired={"revision": 4}) == ""


def test_what_is_desired_can_t_be_removed_so_that_its_revision_starts_anew(operator_api, migration):
    assert patch_status(operator_api, migration, desired=DESIRED) == ""
    assert "desired must not be removed" in patch_status(operator_api, migration, desired=None)
    assert "desired must not be removed" in remove_status(operator_api, migration)


def test_conditions_are_a_map_by_type(operator_api, migration):
    condition = {
        "type": "Running",
        "status": "True",
        "reason": "Migrating",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    assert "Duplicate value" in patch_status(operator_api, migration, conditions=[condition, condition])
    assert "Unsupported value" in patch_status(
        operator_api, migration, conditions=[{**condition, "status": "Yes"}]
    )


@pytest.mark.parametrize("selector", ["spec.sourceNode=node-a", "spec.targetNode=node-b", "status.phase="])
def test_agents_can_select_by_field(api, migration, selector):
    found = api.list_cluster_custom_object(GROUP, VERSION, "vmmigrations", field_selector=selector)
    assert migration["metadata"]["name"] in [each["metadata"]["name"] for each in found["items"]]
    field = selector.split("=")[0]
    none = api.list_cluster_custom_object(GROUP, VERSION, "vmmigrations", field_selector=f"{field}=other")
    assert none["items"] == []


def test_status_can_t_be_set_through_the_object_itself(api, migration):
    name = migration["metadata"]["name"]
    body = {"apiVersion": API_VERSION, "kind": "VMMigration", "status": {"phase": "Succeeded"}}
    seen = api.patch_namespaced_custom_object(GROUP, VERSION, "default", "vmmigrations", name, body)
    assert seen["status"] == NOT_LOOKED_AT
