"""Migrations as the plugin gets them: one that runs, and what of it a test changes."""

from datetime import UTC, datetime, timedelta
from typing import Any

from vmferry_api.migrations import VMMigration
from vmferry_api.policies import MigrationPolicy

BEGAN = datetime(2026, 11, 30, 12, 0, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """So long after it was asked for."""
    return BEGAN + timedelta(seconds=seconds)


def told(seconds: float) -> str:
    """The same as the API server tells it."""
    return at(seconds).isoformat().replace("+00:00", "Z")


def condition(
    type_: str, status: str = "True", reason: str = "Reason", message: str = "", *, since: float = 1
) -> dict[str, Any]:
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": told(since),
    }


DESIRED = {
    "revision": 1,
    "state": "Migrate",
    "attempt": 1,
    "technique": "PreCopy",
    "postCopyAllowed": True,
    "maxDowntime": "100ms",
    "bandwidth": "50Mi",
    "stallingLimit": "4s",
    "progressTimeout": "150s",
    "postCopyRecovery": {"attempts": 10, "backoff": "5s"},
}
PROGRESS = {
    "percent": 62,
    "pass": 6,
    "remaining": "40Mi",
    "transferred": "400Mi",
    "total": "128Mi",
    "neededDowntime": "1.28s",
    "maxDowntime": "100ms",
    "bandwidth": "50Mi",
    "dirtyRate": "51Mi",
    "elapsed": "8s",
    "recent": [
        {"pass": 2, "elapsed": "2s", "neededDowntime": "2.56s"},
        {"pass": 6, "elapsed": "8s", "neededDowntime": "1.28s"},
    ],
}
RUNNING = {
    "observedGeneration": 1,
    "phase": "Running",
    "policy": {"name": "patient", "generation": 1, "policyRef": "patient", "why": "named by spec.policyRef"},
    "source": {"vm": {"state": "Running", "memory": "1Gi", "vcpus": 1}, "features": ["PostCopy"]},
    "target": {"ready": True, "features": ["PostCopy"]},
    "desired": DESIRED,
    "applied": {"revision": 1, "attempt": 1, "time": told(1)},
    "progress": PROGRESS,
    "attempts": [{"number": 1, "start": told(1)}],
    "conditions": [condition("Reconciling", reason="Migrating", message="db-1 is moving to node-b")],
}


def migration(
    status: dict[str, Any] | None = None, spec: dict[str, Any] | None = None, **metadata: Any
) -> VMMigration:
    """One with this status."""
    return VMMigration.read(
        {
            "metadata": {
                "name": "db-1-to-node-b",
                "namespace": "default",
                "uid": "u1",
                "generation": 1,
                "creationTimestamp": told(0),
                **metadata,
            },
            "spec": {"vm": "db-1", "sourceNode": "node-a", "targetNode": "node-b", **(spec or {})},
            "status": status or {},
        }
    )


def running(**changes: Any) -> VMMigration:
    """One that runs; a field that is None is left out."""
    return migration({name: value for name, value in {**RUNNING, **changes}.items() if value is not None})


def policy(name: str = "patient", **spec: Any) -> MigrationPolicy:
    """One of this spec."""
    return MigrationPolicy.read({"metadata": {"name": name, "generation": 1}, "spec": spec})


def step(seconds: float, **changes: Any) -> dict[str, Any]:
    """A step that was taken."""
    return {
        "time": told(seconds),
        "attempt": 1,
        "step": 1,
        "trigger": "stalled for 2s",
        "action": "setMaxDowntime 100ms → 500ms",
        "value": "500ms",
        "revision": 2,
        "effective": told(seconds + 0.1),
        "outcome": "Applied",
        **changes,
    }
