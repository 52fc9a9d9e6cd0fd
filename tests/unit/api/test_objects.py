"""What was stored by a looser rule, or by a newer version, is read as far as it can be."""

from copy import deepcopy
from dataclasses import dataclass

import pytest
from pydantic import ValidationError

from vmferry_api.migrations import VMMigration, VMMigrationStatus
from vmferry_api.policies import MigrationPolicy

METADATA = {"name": "m", "namespace": "default", "uid": "u", "deletionTimestamp": "2026-01-01T00:00:00Z"}
SPEC = {"vm": "db-1", "sourceNode": "node-a", "targetNode": "node-b", "cancel": True}
ATTEMPT = {"number": 1, "start": "2026-01-01T00:00:00Z"}
DESIRED = {
    "revision": 3,
    "state": "Migrate",
    "attempt": 1,
    "technique": "PreCopy",
    "stallingLimit": "5s",
    "progressTimeout": "150s",
}
CONDITION = {
    "type": "LinkCongested",
    "status": "True",
    "reason": "Congested",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}


def stored(**spec: object) -> dict[str, object]:
    return {"metadata": METADATA, "spec": {**SPEC, **spec}, "status": {"attempts": [ATTEMPT]}}


def test_what_can_be_read_is_read_as_it_is() -> None:
    raw = stored(overrides={"maxDowntime": "1s"})
    assert VMMigration.read(raw) == VMMigration.model_validate(raw)
    assert VMMigration.read(raw).unreadable == ()


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (
            {"overrides": {"bandwidth": {"perMigration": "1e8"}}},
            "spec.overrides.bandwidth.perMigration: '1e8' is not a quantity such as 64Mi, 1G or 52428800",
        ),
        (
            {"overrides": {"maxDowntime": "soon"}},
            "spec.overrides.maxDowntime: 'soon' is not a duration such as 150ms, 10s or 2m30s",
        ),
        ({"policyRef": {}}, "spec.policyRef.name: Field required"),
        ({"ttlAfterFinished": "1d"}, "spec.ttlAfterFinished: '1d' is not a duration such as"),
    ],
)
def test_a_cancel_and_a_deletion_are_heard_whatever_else_the_spec_says(
    spec: dict[str, object], told: str
) -> None:
    read = VMMigration.read(stored(**spec))
    assert read.spec.cancel
    assert read.metadata.deletion_timestamp is not None
    assert len(read.status.attempts) == 1
    (unreadable,) = read.unreadable
    assert unreadable.startswith(told)


def test_what_is_left_out_is_left_out_whole_and_the_rest_kept() -> None:
    raw = {
        "metadata": METADATA,
        "spec": {
            "priority": 7,
            "maxDowntime": "1 s",
            "steps": [
                {"after": {"stalled": "1s"}, "setMaxDowntime": "2s"},
                {"after": {"stalled": "1s"}, "setBandwidth": "1e8"},
            ],
        },
    }
    read = MigrationPolicy.read(raw)
    assert (read.spec.priority, read.spec.steps, read.spec.max_downtime) == (7, None, None)
    assert [each.split(":")[0] for each in read.unreadable] == [
        "spec.maxDowntime",
        "spec.steps[1].setBandwidth",
    ]


@pytest.mark.parametrize(
    "raw",
    [
        stored(vm=None),
        {**stored(), "metadata": {}},
        {**stored(), "status": {"desired": {**DESIRED, "state": "Hold"}}},
        {**stored(), "status": {"desired": {**DESIRED, "start": {"compression": "LZ4"}}}},
        {**stored(), "status": {"attempts": [{}]}},
        {**stored(), "status": {"attempts": {"1": ATTEMPT}}},
        {**stored(), "status": {"attempts": [ATTEMPT, {"number": 2}]}},
        {**stored(), "status": {"attempts": [{**ATTEMPT, "number": 2**40}]}},
        {**stored(), "status": "none"},
    ],
)
def test_without_what_must_be_known_it_is_not_read_at_all(raw: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        VMMigration.read(raw)


@dataclass(frozen=True, kw_only=True)
class Newer:
    """A status that a newer version has written, and what is read of it."""

    reason: str
    given: dict[str, object]
    want: dict[str, object]


NEWER = [
    Newer(
        reason="fields that nobody here knows",
        given={"phase": "Running", "weather": {"sun": 1}, "desired": {**DESIRED, "deepBreath": "3s"}},
        want={"phase": "Running", "desired": {"revision": 3, "state": "Migrate"}},
    ),
    Newer(
        reason="a phase that nobody here knows",
        given={"phase": "Elsewhere", "desired": DESIRED, "attempts": [ATTEMPT]},
        want={"phase": None, "desired": {"revision": 3}, "attempts": [{"number": 1}]},
    ),
    Newer(
        reason="a state of a VM that nobody here knows",
        given={"source": {"vm": {"state": "Hibernating", "uuid": "u"}, "qemuVersion": "12.0.0"}},
        want={"source": {"vm": {"state": "Other", "uuid": "u"}, "qemuVersion": "12.0.0"}},
    ),
    Newer(
        reason="an end of an attempt that nobody here knows",
        given={"attempts": [{**ATTEMPT, "outcome": "Handed over", "end": "2026-01-01T00:01:00Z"}]},
        want={"attempts": [{"outcome": "Failed", "end": "2026-01-01T00:01:00Z"}]},
    ),
    Newer(
        reason="a condition that nobody here knows",
        given={"conditions": [CONDITION]},
        want={"conditions": [{"type": "LinkCongested", "status": "True"}]},
    ),
    Newer(
        reason="an optional figure of another kind",
        given={"recovery": {"since": "2026-01-01T00:00:00Z", "error": {"code": 38}}, "phase": "Recovering"},
        want={"recovery": {"since": "2026-01-01T00:00:00Z", "error": None}, "phase": "Recovering"},
    ),
    Newer(
        reason="a report that lacks what is required here",
        given={"target": {"connectURI": "qemu+tls://b/system"}, "phase": "Pending"},
        want={"target": None, "phase": "Pending"},
    ),
    Newer(
        reason="an entry of a list that lacks what is required here",
        given={
            "progress": {
                "percent": 1,
                "pass": 4,
                "remaining": "0",
                "transferred": "1",
                "total": "2",
                "elapsed": "9s",
                "recent": [
                    {"pass": 2, "elapsed": "soon", "neededDowntime": "1s"},
                    {"pass": 3, "elapsed": "2s", "neededDowntime": "1s", "pending": "much"},
                    {},
                    None,
                ],
            },
            "conditions": [{**CONDITION, "status": "Maybe"}, CONDITION, {**CONDITION, "type": 7}],
            "source": {"features": ["postCopy", {"name": "xbzrle"}, "tls"]},
        },
        want={
            "progress": {"percent": 1, "recent": [{"pass": 3, "pending": None}]},
            "conditions": [{"type": "LinkCongested"}],
            "source": {"features": ["postCopy", "tls"]},
        },
    ),
    Newer(
        reason="a start of an attempt that is no time",
        given={
            "attempts": [{**ATTEMPT, "start": []}, {**ATTEMPT, "number": 2, "start": "0000-01-01T00:00:00Z"}]
        },
        want={"attempts": [{"start": "2199-12-31T23:59:59Z"}] * 2},
    ),
    Newer(
        reason="several of them",
        given={
            "phase": "Elsewhere",
            "source": {"vm": {}, "message": "m"},
            "forecast": {"converges": "maybe"},
        },
        want={"phase": None, "source": {"vm": None, "message": "m"}, "forecast": None},
    ),
]


@pytest.mark.parametrize("case", NEWER, ids=lambda case: case.reason)
def test_of_a_newer_status_all_is_read_but_what_is_strange(case: Newer) -> None:
    raw = {**stored(), "status": case.given}
    before = deepcopy(raw)
    read = VMMigration.read(raw)
    found = read.status.model_dump(mode="json", by_alias=True)
    assert _contains(found, case.want), found
    assert (raw, read.unreadable, read.spec.cancel) == (before, (), True)


def _contains(found: object, want: object) -> bool:
    if isinstance(want, dict) and isinstance(found, dict):
        return all(_contains(found.get(name), each) for name, each in want.items())
    if isinstance(want, list) and isinstance(found, list):
        return len(found) == len(want) and all(map(_contains, found, want))
    return found == want


def test_a_strange_status_hides_nothing_that_is_strange_in_the_spec() -> None:
    read = VMMigration.read({**stored(storage="Mirror"), "status": {"phase": "Elsewhere"}})
    assert read.unreadable[0].startswith("spec.storage: ")
    assert len(read.unreadable) == 1


def test_what_is_unreadable_is_no_part_of_the_object() -> None:
    assert "unreadable" not in VMMigration.read(stored(ttlAfterFinished="1d")).as_json()


def test_who_has_written_it_and_when_is_read_as_far_as_it_can_be() -> None:
    """Who may edit an object may add any to managedFields."""
    managed = [
        {"manager": "vmferry-operator", "time": "2026-01-01T00:00:00Z"},
        {"manager": "vmferry-source-agent", "time": "0000-01-01T00:00:00Z"},
        {"manager": "vmferry-target-agent", "time": "9999-12-31T23:59:59Z"},
        "nobody",
    ]
    read = VMMigration.read({**stored(), "metadata": {**METADATA, "managedFields": managed}})
    years = [each.time and each.time.year for each in read.metadata.managed_fields]
    assert (years, read.unreadable) == ([2026, None, 2199], ())


def test_where_a_status_can_t_be_read_the_rest_can_and_tells_why_it_can_t() -> None:
    raw = {**stored(ttlAfterFinished="1d"), "status": {"phase": "Elsewhere", "attempts": [{"number": 1}]}}
    with pytest.raises(ValidationError) as caught:
        VMMigration.read(raw)
    rest = VMMigration.read_but_status(raw, caught.value)
    assert (rest.spec.cancel, rest.status, rest.has_unread_status) == (True, VMMigrationStatus(), True)
    assert [each.split(":")[0] for each in rest.unreadable] == [
        "spec.ttlAfterFinished",
        "status.phase",
        "status.attempts[0].start",
    ]
    assert not VMMigration.read(stored(ttlAfterFinished="1d")).has_unread_status
