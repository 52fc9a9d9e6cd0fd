"""What the API server takes of those who lie, the operator can read."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest
from kubernetes import client, config
from pydantic import ValidationError

from strange_statuses import (
    APPLIED,
    BEGAN,
    DESIRED,
    PRE_COPY,
    PROGRESS,
    SOURCE,
    STEPS,
    STRANGE,
    changed,
    extremes,
    places,
    stored,
)
from vmferry_api import GROUP, VERSION
from vmferry_api.migrations import VMMigration
from vmferry_api.owners import OPERATOR, SOURCE_AGENT, TARGET_AGENT
from vmferry_lab.controlplane.control_plane import ControlPlane

MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
REFUSED = {400, 403, 422}
OWN = ("source", "applied", "progress", "attempts")
OWN_CONDITIONS = {"Running", "MigrationStalling"}
REPORTED = {
    **{name: PRE_COPY[name] for name in OWN},
    "conditions": [each for each in PRE_COPY["conditions"] if each["type"] in OWN_CONDITIONS],
}
"""What the source's agent has told."""

Write = Callable[[Any, str], dict[str, Any] | None]


@pytest.fixture
def write(control_plane: ControlPlane, migration: dict[str, Any]) -> Iterator[Write]:
    """Writes to the status as the source's agent; what is stored then, None: it was refused."""
    connection = config.new_client_from_config(str(control_plane.agent_kubeconfig("node-a")))
    objects = client.CustomObjectsApi(connection)

    def patch(body: Any, content: str) -> dict[str, Any] | None:
        try:
            written: dict[str, Any] = objects.patch_namespaced_custom_object_status(
                GROUP,
                VERSION,
                "default",
                "vmmigrations",
                migration["metadata"]["name"],
                body,
                field_manager=SOURCE_AGENT,
                _content_type=content,
            )
        except client.ApiException as error:
            if error.status not in REFUSED:
                raise
            return None
        return written

    yield patch
    connection.close()


def strange() -> Iterator[dict[str, Any]]:
    """What it told, each time with another value at one place."""
    raw = stored(REPORTED)
    for change in (*extremes(raw), *product(places(raw["status"], ("status",)), STRANGE[::2])):
        if change[0][0] == "status":
            yield changed(raw, change)["status"]


@pytest.fixture
def decides(operator_api: client.CustomObjectsApi) -> Callable[[dict[str, Any]], None]:
    """The operator applies its part of a status, as it could be written."""

    def apply(found: dict[str, Any]) -> None:
        part = {"apiVersion": found["apiVersion"], "kind": found["kind"], "status": {"phase": "Running"}}
        operator_api.patch_namespaced_custom_object_status(
            GROUP,
            VERSION,
            "default",
            "vmmigrations",
            found["metadata"]["name"],
            part,
            field_manager=OPERATOR,
            force=True,
            dry_run="All",
            _content_type="application/apply-patch+yaml",
        )

    return apply


def test_whatever_is_stored_of_its_reports_is_read_and_decided_on_and_no_attempt_is_lost(
    write: Write, decides: Callable[[dict[str, Any]], None]
) -> None:
    taken = refused = 0
    assert write({"status": REPORTED}, MERGE)
    for status in strange():
        cleared = write({"status": dict.fromkeys(REPORTED)}, MERGE)
        assert cleared is not None
        found = write({"status": status}, MERGE)
        if found is None:
            refused += 1
            continue
        taken += 1
        try:
            read = VMMigration.read(found)
        except ValidationError as error:
            pytest.fail(f"{status} was stored: {error}")
        assert len(read.status.attempts) == len(found["status"].get("attempts", []))
        decides(found)
    assert taken > 100
    assert refused > 100


def test_however_much_it_writes_the_operator_has_room_for_its_part(
    write: Write, operator_api: client.CustomObjectsApi, migration: dict[str, Any]
) -> None:
    full = longest_report()
    assert write({"status": full}, MERGE), "as much as each field may have"
    more = [{**each, "error": "x" * 2000} for each in full["attempts"]]
    assert write({"status": {"attempts": more}}, MERGE) is None
    place = (GROUP, VERSION, "default", "vmmigrations", migration["metadata"]["name"])
    operator_api.patch_namespaced_custom_object_status(
        *place, {"status": longest_decision()}, field_manager=OPERATOR, _content_type=MERGE
    )


def wide(length: int) -> str:
    """A text of that many characters, as many bytes as can be."""
    return "\U0001f6f6" * length


def conditions(*types: str) -> list[dict[str, str]]:
    rest = {"status": "True", "reason": "Test", "message": wide(4096), "lastTransitionTime": BEGAN}
    return [{"type": each, **rest} for each in types]


def longest_report() -> dict[str, Any]:
    """As much as the source's agent can write."""
    disks = [{"path": wide(1024), "copied": True}] * 64
    hardware = {**SOURCE["hardware"], "cpu": wide(8192), "emulator": wide(1024), "disks": disks}
    ended = {"end": BEGAN, "outcome": "Failed", "error": wide(2**17 // 4 // 100)}
    return {
        "source": {**SOURCE, "hardware": hardware, "message": wide(4096), "features": [wide(64)] * 64},
        "applied": {**APPLIED, "errors": [{"parameter": wide(64), "message": wide(4096)}] * 16},
        "progress": PROGRESS,
        "recovery": {"since": BEGAN, "error": wide(4096)},
        "attempts": [{"number": number, "start": BEGAN, **ended} for number in range(1, 101)],
        "conditions": conditions("Running", "MigrationStalling", "PostCopyInterrupted"),
    }


def longest_decision() -> dict[str, Any]:
    """More than the operator writes: nothing that is its own word has more than one byte for a character."""
    words = {"trigger": "x" * 512, "action": "x" * 512, "value": "x" * 512, "outcome": wide(1024)}
    return {
        "phase": "Failed",
        "desired": {**DESIRED, "reason": wide(4096)},
        "policy": {"name": "p", "why": wide(4096)},
        "steps": [{**STEPS[0], **words}] * 64,
        "conditions": conditions(
            *("Running", "MigrationStalling", "PostCopyInterrupted"),
            *("Accepted", "TargetReady", "Complete", "Failed", "Reconciling", "Stalled"),
        ),
    }


def in_another_s_name(time: str) -> dict[str, Any]:
    """A patch that says when the target's agent has written."""
    of_another = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "manager": TARGET_AGENT,
        "operation": "Apply",
        "time": time,
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:vm": {}}},
    }
    return {"op": "add", "path": "/metadata/managedFields/-", "value": of_another}


def test_it_can_t_say_when_others_have_written(write: Write) -> None:
    assert write({"status": REPORTED}, MERGE)
    forged = write(
        [
            in_another_s_name("2026-01-01T00:00:00Z"),
            {"op": "replace", "path": "/status/progress/percent", "value": 61},
        ],
        JSON,
    )
    assert forged is None or TARGET_AGENT not in {
        each["manager"] for each in forged["metadata"]["managedFields"]
    }


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z"])
def test_whatever_who_asked_for_it_says_of_when_others_have_written_is_read(
    api: client.CustomObjectsApi, migration: dict[str, Any], time: str
) -> None:
    body = [in_another_s_name(time), {"op": "add", "path": "/spec/cancel", "value": True}]
    place = (GROUP, VERSION, "default", "vmmigrations", migration["metadata"]["name"])
    forged = api.patch_namespaced_custom_object(*place, body, _content_type=JSON)
    assert (TARGET_AGENT, time) in {
        (each["manager"], each["time"]) for each in forged["metadata"]["managedFields"]
    }
    assert VMMigration.read(forged).spec.cancel
