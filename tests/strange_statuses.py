"""Statuses as an agent that lies, a clock that jumped, or a newer version may write them."""

import re
from collections.abc import Iterator
from copy import deepcopy
from functools import reduce
from operator import getitem
from typing import Any

from vmferry_api.durations import parse_duration
from vmferry_api.quantities import parse_quantity

Path = tuple[str | int, ...]
Change = tuple[Path, Any]

BEGAN = "2026-01-01T12:00:00Z"
AGAIN = "2026-01-01T12:05:00Z"
VM = {"name": "db-1", "uuid": "x", "memory": "1Gi", "vcpus": 1, "state": "Running", "reason": "Booted"}
DESIRED = {
    "revision": 3,
    "state": "Migrate",
    "attempt": 2,
    "technique": "PreCopy",
    "postCopyAllowed": True,
    "maxDowntime": "500ms",
    "bandwidth": "100Mi",
    "share": "50Mi",
    "start": {"compression": {"method": "XBZRLE", "cacheSize": "64Mi"}},
    "stallingLimit": "5s",
    "progressTimeout": "150s",
    "timeout": "10m",
    "time": AGAIN,
}
SOURCE = {
    "vm": VM,
    "hardware": {
        "type": "kvm",
        "arch": "x86_64",
        "disks": [{"path": "/a", "copied": True, "size": "1Gi"}, {"path": "/b", "copied": False}],
    },
    "libvirtVersion": "9.0.0",
    "qemuVersion": "7.2.0",
    "features": ["postCopy", "xbzrle"],
    "dirtyRate": "10Mi",
}
TARGET = {
    "ready": True,
    "connectURI": "qemu+tls://b/system",
    "vm": {"state": "Paused", "reason": "Migrating"},
    "afterAttempt": 1,
    "libvirtVersion": "9.0.0",
    "qemuVersion": "7.2.0",
    "features": ["postCopy", "xbzrle"],
    "freeMemory": "8Gi",
}
ATTEMPTS = [
    {
        "number": 1,
        "start": BEGAN,
        "end": "2026-01-01T12:01:00Z",
        "outcome": "Failed",
        "error": "cut",
        "transferred": "1Gi",
        "interrupted": "2s",
    },
    {"number": 2, "start": AGAIN},
]
PASS = {"pass": 2, "elapsed": "4s", "neededDowntime": "1.3s", "pending": "130Mi"}
PROGRESS = {
    "percent": 60,
    "pass": 4,
    "remaining": "30Mi",
    "pending": "128Mi",
    "transferred": "2Gi",
    "total": "1Gi",
    "dirtyRate": "90Mi",
    "bandwidth": "100Mi",
    "neededDowntime": "1.28s",
    "maxDowntime": "500ms",
    "throttle": 20,
    "disk": {"total": "2Gi", "transferred": "2Gi", "remaining": "0"},
    "elapsed": "12s",
    "recent": [
        PASS,
        {"pass": 3, "elapsed": "6s", "neededDowntime": "1.29s", "pending": "129Mi"},
        {"pass": 4, "elapsed": "9s", "neededDowntime": "1.28s", "pending": "128Mi"},
    ],
}
STEPS = [
    {
        "time": BEGAN,
        "attempt": 1,
        "trigger": "t",
        "action": "restart with {}",
        "value": '{"autoConverge":{"initial":20,"increment":10}}',
        "revision": 1,
        "effective": AGAIN,
        "outcome": "Applied",
    },
    {
        "time": AGAIN,
        "attempt": 2,
        "step": 1,
        "trigger": "stalled for 5s",
        "action": "setMaxDowntime QEMU's → 500ms",
        "value": "500ms",
        "revision": 2,
        "outcome": "Applied",
    },
    {
        "time": AGAIN,
        "attempt": 2,
        "step": 2,
        "trigger": "stalled for 5s",
        "action": "setBandwidth 50Mi → 100Mi",
        "value": "100Mi",
        "revision": 3,
        "outcome": "Pending",
    },
]
CONDITIONS = [
    {"type": type_, "status": "True", "reason": reason, "message": "m", "lastTransitionTime": AGAIN}
    for type_, reason in (
        ("Accepted", "Accepted"),
        ("TargetReady", "Ready"),
        ("Running", "Migrating"),
        ("MigrationStalling", "NotConverging"),
        ("Reconciling", "Migrating"),
    )
]
APPLIED = {
    "revision": 2,
    "attempt": 2,
    "time": AGAIN,
    "errors": [{"parameter": "bandwidth", "message": "no"}],
}
PRE_COPY = {
    "observedGeneration": 1,
    "phase": "Running",
    "reason": "NotConverging",
    "policy": {"name": "p", "generation": 1, "why": "w"},
    "source": SOURCE,
    "target": TARGET,
    "desired": DESIRED,
    "applied": APPLIED,
    "progress": PROGRESS,
    "forecast": {
        "converges": False,
        "floor": "1.28s",
        "completion": AGAIN,
        "nextAction": "abort",
        "nextTime": AGAIN,
        "why": "w",
    },
    "waitingSince": BEGAN,
    "steps": STEPS,
    "attempts": ATTEMPTS,
    "conditions": CONDITIONS,
}
"""A second attempt that stalls; each list has entries."""
POST_COPY = {
    **PRE_COPY,
    "phase": "Recovering",
    "source": {**SOURCE, "vm": {**VM, "state": "Paused", "reason": "PostCopyFailed"}},
    "target": {**TARGET, "unreachable": True, "message": "m"},
    "recovery": {
        "since": AGAIN,
        "again": AGAIN,
        "tries": 3,
        "lastTry": AGAIN,
        "error": "e",
        "end": AGAIN,
    },
    "conditions": [
        *CONDITIONS[:3],
        {
            "type": "PostCopyInterrupted",
            "status": "True",
            "reason": "LinkLost",
            "message": "m",
            "lastTransitionTime": AGAIN,
        },
    ],
}
"""One that is interrupted."""
FLOWING = {
    **PRE_COPY,
    "phase": "PostCopy",
    "source": {**SOURCE, "vm": {**VM, "state": "Paused", "reason": "PostCopy"}},
}
"""One in post-copy that gets on."""
FAILED = {
    **PRE_COPY,
    "source": {**SOURCE, "afterAttempt": 2},
    "target": {**TARGET, "afterAttempt": 2, "vm": {"state": "Absent"}},
    "attempts": [
        ATTEMPTS[0],
        {**ATTEMPTS[1], "end": "2026-01-01T12:06:00Z", "outcome": "Failed", "error": "cut again"},
    ],
}
"""One whose last attempt has failed, where the operator has yet to say so."""
MOVED = {
    **PRE_COPY,
    "source": {**SOURCE, "afterAttempt": 2, "vm": {"state": "Absent", "uuid": "x"}},
    "target": {**TARGET, "afterAttempt": 2, "vm": VM},
    "attempts": [
        ATTEMPTS[0],
        {
            **ATTEMPTS[1],
            "end": "2026-01-01T12:06:00Z",
            "outcome": "Completed",
            "downtime": "300ms",
            "transferred": "2Gi",
            "suspended": True,
        },
    ],
}
"""One whose VM has moved, where the operator has yet to say so."""
QUEUED = {
    "observedGeneration": 1,
    "phase": "Pending",
    "policy": {"name": "p", "generation": 1, "why": "w"},
    "source": SOURCE,
    "target": {**TARGET, "afterAttempt": 0, "vm": {"state": "Absent"}},
    "queue": {"position": 1, "since": BEGAN, "waitingFor": "outgoingPerNode", "message": "m"},
    "conditions": CONDITIONS[:2],
}
"""One that waits for its turn."""
STATUSES = {
    "pre-copy": PRE_COPY,
    "interrupted": POST_COPY,
    "post-copy": FLOWING,
    "failed": FAILED,
    "moved": MOVED,
    "queued": QUEUED,
}

AGENTS_FIELDS = ("source", "target", "applied", "progress", "recovery", "attempts", "conditions")
STRANGE = ["Strange", -7, 1.5, True, None, [], ["Strange"], [None], {}, {"strange": {"deep": 1}}]
"""Of no type that is expected."""
MOMENTS = [
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "1970-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-23:59",
    "2026-01-01T12:00:00+99:99",
    "2026-01-01T12:00:00",
]
DURATIONS = ["0s", "1ms", "999999h999999h99999h", "999999999999999999ms"]
QUANTITIES = ["0", "1", "99999999999999P", "-5", 0, -5, 2**63 - 1]
INTEGERS = [0, 1, -1, 2**63 - 1]
TEXTS = ["", "x" * 64, "x" * 4096, "→"]
EXTREME = [*MOMENTS, *DURATIONS, *QUANTITIES, *INTEGERS, *TEXTS]
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT.*Z")


def stored(status: dict[str, Any], *, version: int = 5, **metadata: object) -> dict[str, Any]:
    """The migration of that status as the API server has it; nobody else has a part in what is returned."""
    named = {"name": "m", "namespace": "default", "uid": "u", "generation": 1, "creationTimestamp": BEGAN}
    written = [
        {"manager": manager, "operation": "Apply", "time": AGAIN}
        for manager in ("vmferry-operator", "vmferry-source-agent", "vmferry-target-agent")
    ]
    whole = {
        "metadata": {**named, "resourceVersion": str(version), "managedFields": written, **metadata},
        "spec": {"vm": "db-1", "sourceNode": "node-a", "targetNode": "node-b"},
        "status": status,
    }
    return deepcopy(whole)


def places(value: object, path: Path = ()) -> list[Path]:
    """The paths of all that is in it."""
    named = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [each for name, inner in named for each in ((*path, name), *places(inner, (*path, name)))]


def changed(raw: dict[str, Any], *changes: Change) -> dict[str, Any]:
    """The same object with other values at some paths; one whose place is gone by then is left out."""
    whole = deepcopy(raw)
    for path, value in changes:
        try:
            holder = reduce(getitem, path[:-1], whole)
            holder[path[-1]] = deepcopy(value)
        except (KeyError, IndexError, TypeError):
            continue
    return whole


def extremes(raw: dict[str, Any]) -> Iterator[Change]:
    """Each part of its status that agents write, and of who wrote it, with each extreme value of its type."""
    written = [("status", field) for field in AGENTS_FIELDS if field in raw["status"]]
    for part in (*written, ("metadata", "managedFields")):
        for place in (part, *places(reduce(getitem, part, raw), part)):
            for value in _extreme(reduce(getitem, place, raw)):
                yield place, value


def _extreme(value: object) -> list[Any]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return INTEGERS
    if isinstance(value, list):
        return [[], value * 2, value[:1] * 2, list(reversed(value))]
    if isinstance(value, str):
        return _extreme_text(value)
    return []


def _extreme_text(value: str) -> list[Any]:
    if _MOMENT.fullmatch(value):
        return MOMENTS
    for parse, values in ((parse_duration, DURATIONS), (parse_quantity, QUANTITIES)):
        try:
            parse(value)
        except ValueError:
            continue
        return values
    return TEXTS
