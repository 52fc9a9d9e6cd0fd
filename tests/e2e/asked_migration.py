"""A VMMigration as the end-to-end tests handle it: asked for, waited for, judged."""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from kubernetes import client

from vmferry_api import API_VERSION, GROUP, VERSION
from vmferry_api.conditions import ConditionType, find_condition
from vmferry_api.migrations import Phase, VMMigration
from vmferry_api.policies import MigrationPolicy
from vmferry_lab.until import until

NAMESPACE = "default"
PATIENCE = 60.0
"""Seconds; generous, because the machine may be slow."""


@dataclass
class Migration:
    """A VMMigration of the test."""

    name: str
    api: client.CustomObjectsApi

    def get(self) -> VMMigration:
        """The object as it is now."""
        return VMMigration.model_validate(
            self.api.get_namespaced_custom_object(GROUP, VERSION, NAMESPACE, "vmmigrations", self.name)
        )

    def exists(self) -> bool:
        """Whether the object is still there."""
        try:
            self.get()
        except client.ApiException as error:
            if error.status == 404:
                return False
            raise
        return True

    def events(self) -> list[dict[str, Any]]:
        """The Events that tell of it, oldest first."""
        found = self.api.list_namespaced_custom_object("events.k8s.io", "v1", NAMESPACE, "events")["items"]
        mine = [
            each
            for each in found
            if (each["regarding"]["kind"], each["regarding"]["name"]) == ("VMMigration", self.name)
        ]
        return sorted(mine, key=lambda each: each["eventTime"])

    def tells(self, *reasons: str) -> list[dict[str, Any]]:
        """All its Events, once those with these reasons are among them, in this order."""

        def told() -> list[dict[str, Any]] | None:
            found = self.events()
            return (
                found
                if [each["reason"] for each in found if each["reason"] in reasons] == list(reasons)
                else None
            )

        return until(f"{self.name}: {', '.join(reasons)}", told, timeout=PATIENCE, interval=0.2)

    def patch_spec(self, **spec: Any) -> None:
        """Change the spec as a user would."""
        self.api.patch_namespaced_custom_object(
            GROUP, VERSION, NAMESPACE, "vmmigrations", self.name, {"spec": spec}
        )

    def delete(self) -> None:
        """Delete the object, without waiting."""
        self.api.delete_namespaced_custom_object(GROUP, VERSION, NAMESPACE, "vmmigrations", self.name)

    def wait(
        self, what: str, holds: Callable[[VMMigration], object], timeout: float = PATIENCE
    ) -> VMMigration:
        """The object as it is when something holds of it; it is shown if that never does."""

        def probe() -> VMMigration | None:
            try:
                seen = self.get()
            except client.ApiException as error:
                if error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise
                return None  # the API server is just back
            return seen if holds(seen) else None

        try:
            return until(f"{self.name}: {what}", probe, timeout=timeout, interval=0.2)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self.get().model_dump_json(indent=1)}") from error

    def ends(self, timeout: float = PATIENCE) -> VMMigration:
        """Wait for its end."""
        return self.wait("to end", lambda each: each.status.phase and each.status.phase.terminal, timeout)

    def passes(self, memory_pass: int) -> VMMigration:
        """Wait until it has come to a pass over the memory."""
        return self.wait(
            f"pass {memory_pass}",
            lambda each: each.status.progress and each.status.progress.memory_pass >= memory_pass,
        )


def ask(
    api: client.CustomObjectsApi, name: str, *, labels: dict[str, str] | None = None, **spec: Any
) -> Migration:
    """Create a VMMigration from node-a to node-b, unless the spec says otherwise."""
    body = {
        "apiVersion": API_VERSION,
        "kind": "VMMigration",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels or {}},
        "spec": {"sourceNode": "node-a", "targetNode": "node-b", **spec},
    }
    api.create_namespaced_custom_object(GROUP, VERSION, NAMESPACE, "vmmigrations", body)
    return Migration(name, api)


def create_policy(api: client.CustomObjectsApi, name: str, **spec: Any) -> None:
    """Create a MigrationPolicy."""
    MigrationPolicy.model_validate({"metadata": {"name": name}, "spec": spec})
    body = {"apiVersion": API_VERSION, "kind": "MigrationPolicy", "metadata": {"name": name}, "spec": spec}
    api.create_cluster_custom_object(GROUP, VERSION, "migrationpolicies", body)


def reason(migration: VMMigration, type_: ConditionType) -> str | None:
    """The reason of a condition."""
    found = find_condition(migration.status.conditions, type_)
    return found.reason if found else None


def phase_is(phase: Phase) -> Callable[[VMMigration], bool]:
    """Whether a migration is in a phase."""
    return lambda migration: migration.status.phase == phase


def in_post_copy_on_both(migration: VMMigration) -> bool:
    """Whether both agents have said so: a link that breaks before the target's half runs loses the VM."""
    reports = (migration.status.source, migration.status.target)
    return all(report and report.vm and report.vm.reason == "PostCopy" for report in reports)
