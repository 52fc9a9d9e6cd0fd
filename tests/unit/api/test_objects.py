"""What was stored by a looser rule, or by a newer version, is read as far as it can be."""

import pytest
from pydantic import ValidationError

from vmferry_api.migrations import VMMigration
from vmferry_api.policies import MigrationPolicy

METADATA = {"name": "m", "namespace": "default", "uid": "u", "deletionTimestamp": "2026-01-01T00:00:00Z"}
SPEC = {"vm": "db-1", "sourceNode": "node-a", "targetNode": "node-b", "cancel": True}
ATTEMPT = {"number": 1, "start": "2026-01-01T00:00:00Z"}


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
        {**stored(), "status": {"phase": "Elsewhere"}},
        {**stored(), "status": {"attempts": [{}]}},
    ],
)
def test_without_what_must_be_known_it_is_not_read_at_all(raw: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        VMMigration.read(raw)


def test_what_is_unreadable_is_no_part_of_the_object() -> None:
    assert "unreadable" not in VMMigration.read(stored(ttlAfterFinished="1d")).as_json()
