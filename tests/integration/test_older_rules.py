"""What was stored before a rule was tightened can still be cancelled and deleted."""

import copy
from collections.abc import Iterator

import pytest
from kubernetes import client

from vmferry_api import API_VERSION, GROUP, VERSION
from vmferry_api.migrations import VMMigration
from vmferry_lab.until import until

CRD = "vmmigrations.vmferry.io"
OBJECTS = (GROUP, VERSION, "default", "vmmigrations")
BODY = {
    "apiVersion": API_VERSION,
    "kind": "VMMigration",
    "metadata": {"name": "older"},
    "spec": {
        "vm": "db-1",
        "sourceNode": "node-a",
        "targetNode": "node-b",
        "overrides": {"bandwidth": {"perMigration": "1e8"}},
    },
}


def is_refused(api: client.CustomObjectsApi) -> bool:
    try:
        api.create_namespaced_custom_object(*OBJECTS, BODY, dry_run="All")
    except client.ApiException:
        return True
    return False


@pytest.fixture
def older(api: client.CustomObjectsApi) -> Iterator[str]:
    """A migration with a quantity that today's rule refuses."""
    crds = client.ApiextensionsV1Api(api.api_client)
    today = crds.api_client.sanitize_for_serialization(crds.read_custom_resource_definition(CRD))
    looser = copy.deepcopy(today["spec"])
    spec = looser["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    del spec["overrides"]["properties"]["bandwidth"]["properties"]["perMigration"]["x-kubernetes-validations"]
    crds.patch_custom_resource_definition(CRD, {"spec": looser}, _content_type="application/merge-patch+json")
    try:
        until("the looser rule", lambda: not is_refused(api), timeout=30)
        api.create_namespaced_custom_object(*OBJECTS, BODY)
    finally:
        crds.patch_custom_resource_definition(
            CRD, {"spec": today["spec"]}, _content_type="application/merge-patch+json"
        )
    until("today's rule", lambda: is_refused(api), timeout=30)
    yield "older"
    api.delete_namespaced_custom_object(*OBJECTS, "older")


def test_it_can_be_cancelled_and_read(api: client.CustomObjectsApi, older: str) -> None:
    api.patch_namespaced_custom_object(*OBJECTS, older, {"spec": {"cancel": True}})
    read = VMMigration.read(api.get_namespaced_custom_object(*OBJECTS, older))
    assert read.spec.cancel
    (told,) = read.unreadable
    assert told.startswith("spec.overrides.bandwidth.perMigration: '1e8' is not a quantity")
