"""What was stored before a rule was tightened can still be cancelled and deleted."""

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from kubernetes import client, config

from vmferry_api import API_VERSION, FINALIZER, GROUP, VERSION
from vmferry_api.migrations import VMMigration
from vmferry_api.owners import OPERATOR, SOURCE_AGENT
from vmferry_lab.controlplane.control_plane import ControlPlane
from vmferry_lab.until import until

CRD = "vmmigrations.vmferry.io"
MERGE = "application/merge-patch+json"
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

ANOTHER = {**BODY, "metadata": {"name": "another"}}


def is_taken(write: Callable[..., object]) -> bool:
    try:
        write(dry_run="All")
    except client.ApiException:
        return False
    return True


@pytest.fixture
def older(api: client.CustomObjectsApi) -> Iterator[str]:
    """A migration with a quantity that today's rule refuses."""

    def loosen(properties: dict[str, Any]) -> None:
        bandwidth = properties["spec"]["properties"]["overrides"]["properties"]["bandwidth"]
        del bandwidth["properties"]["perMigration"]["x-kubernetes-validations"]

    create = partial(api.create_namespaced_custom_object, *OBJECTS)
    write_by_looser_rule(api, loosen, partial(create, BODY), partial(create, ANOTHER))
    yield "older"
    api.delete_namespaced_custom_object(*OBJECTS, "older")


def write_by_looser_rule(
    api: client.CustomObjectsApi,
    loosen: Callable[[dict[str, Any]], None],
    write: Callable[..., object],
    another: Callable[..., object],
) -> None:
    """Write what today's rule refuses, while there is another one.

    Args:
        api: The API server, as its administrator.
        loosen: Changes the schemas of the fields.
        write: Writes it.
        another: Would write something else that only today's rule refuses: what is there already it refuses not.
    """
    crds = client.ApiextensionsV1Api(api.api_client)
    today = crds.api_client.sanitize_for_serialization(crds.read_custom_resource_definition(CRD))
    looser = copy.deepcopy(today["spec"])
    loosen(looser["versions"][0]["schema"]["openAPIV3Schema"]["properties"])
    crds.patch_custom_resource_definition(CRD, {"spec": looser}, _content_type=MERGE)
    try:
        until("the looser rule", lambda: is_taken(another), timeout=30)
        write()
    finally:
        crds.patch_custom_resource_definition(CRD, {"spec": today["spec"]}, _content_type=MERGE)
    until("today's rule", lambda: not is_taken(another), timeout=30)


def test_it_can_be_cancelled_and_read(api: client.CustomObjectsApi, older: str) -> None:
    api.patch_namespaced_custom_object(*OBJECTS, older, {"spec": {"cancel": True}})
    read = VMMigration.read(api.get_namespaced_custom_object(*OBJECTS, older))
    assert read.spec.cancel
    (told,) = read.unreadable
    assert told.startswith("spec.overrides.bandwidth.perMigration: '1e8' is not a quantity")


@pytest.fixture
def agents_objects(control_plane: ControlPlane) -> Iterator[client.CustomObjectsApi]:
    """The API server, as the source's agent."""
    connection = config.new_client_from_config(str(control_plane.agent_kubeconfig("node-a")))
    yield client.CustomObjectsApi(connection)
    connection.close()


def test_one_of_which_an_agent_has_told_nonsense_can_be_decided_on_and_let_go(
    api: client.CustomObjectsApi,
    operator_api: client.CustomObjectsApi,
    agents_objects: client.CustomObjectsApi,
    migration: dict[str, Any],
) -> None:
    place = (*OBJECTS, migration["metadata"]["name"])

    def loosen(properties: dict[str, Any]) -> None:
        attempt = properties["status"]["properties"]["attempts"]["items"]["properties"]
        attempt["start"] = {"type": "string", "format": "date-time"}
        del attempt["number"]["maximum"]

    def report(number: int, start: str, **options: object) -> object:
        told = {"status": {"attempts": [{"number": number, "start": start}]}}
        return agents_objects.patch_namespaced_custom_object_status(
            *place, told, field_manager=SOURCE_AGENT, _content_type=MERGE, **options
        )

    api.patch_namespaced_custom_object(*place, {"metadata": {"finalizers": [FINALIZER]}})
    write_by_looser_rule(
        api,
        loosen,
        partial(report, 2**40, "9999-12-31T23:59:59Z"),
        partial(report, 2**41, "9998-12-31T23:59:59Z"),
    )
    decided = operator_api.patch_namespaced_custom_object_status(
        *place, {"status": {"phase": "Cancelled"}}, field_manager=OPERATOR, _content_type=MERGE
    )
    assert decided["status"]["attempts"] == [{"number": 2**40, "start": "9999-12-31T23:59:59Z"}]
    without = {"metadata": {"finalizers": []}}
    let_go = operator_api.patch_namespaced_custom_object(*place, without, _content_type=MERGE)
    assert "finalizers" not in let_go["metadata"]
