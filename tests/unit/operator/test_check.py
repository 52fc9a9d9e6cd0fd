import pytest
from migrations_in_words import migration, policy

from vmferry_operator.decisions.check import (
    unsupported_in_migration,
    unsupported_in_policy,
    unsupported_message,
)

RESTART = {"after": {"elapsed": "5m"}, "restart": {"start": {"parallelConnections": 4}}}
SET_DOWNTIME = {"after": {"stalled": "10s"}, "setMaxDowntime": "150ms"}


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({}, []),
        ({"maxDowntime": "1s", "stallingLimit": "0s", "timeout": {"base": "1h"}}, []),
        ({"agentDowntimeRamp": {}}, []),
        ({"bandwidth": {"perMigration": "1Gi", "postCopy": "1Gi"}}, []),
        ({"steps": [SET_DOWNTIME, {"after": {"passes": 8}, "suspend": {}}]}, []),
        ({"selector": {}}, ["selector"]),
        ({"concurrency": {}}, ["concurrency"]),
        ({"start": {}}, ["start"]),
        ({"objective": {"maxDowntime": "1s"}}, ["objective"]),
        ({"postCopyRecovery": {}}, ["postCopyRecovery"]),
        ({"retry": {}}, ["retry"]),
        ({"bandwidth": {"perNode": "1Gi"}}, ["bandwidth.perNode"]),
        ({"steps": [SET_DOWNTIME, RESTART]}, ["steps[1].restart"]),
        ({"selector": {}, "retry": {}, "steps": [RESTART]}, ["selector", "retry", "steps[0].restart"]),
    ],
)
def test_what_a_policy_asks_for_and_can_t_have_is_named_in_full(
    spec: dict[str, object], fields: list[str]
) -> None:
    assert unsupported_in_policy(policy(**spec).spec) == fields


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({}, []),
        ({"overrides": {"maxDowntime": "1s", "bandwidth": {"perMigration": "1Gi"}}}, []),
        ({"ttlAfterFinished": "0s"}, ["ttlAfterFinished"]),
        ({"overrides": {"bandwidth": {"perNode": "1Gi"}}}, ["overrides.bandwidth.perNode"]),
    ],
)
def test_what_a_migration_asks_for_and_can_t_have_is_named_in_full(
    spec: dict[str, object], fields: list[str]
) -> None:
    assert unsupported_in_migration(migration(**spec).spec) == fields


def test_the_message_names_the_object_the_fields_and_the_way_out() -> None:
    message = unsupported_message("MigrationPolicy p", ["selector", "retry"])
    assert message.startswith("MigrationPolicy p ")
    assert message.endswith("selector, retry; remove it")
