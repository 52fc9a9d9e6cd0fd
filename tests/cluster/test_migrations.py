"""Migrations between the nodes of a real cluster: by the policy that escalates, and over links that are hurt."""

from vmferry_api.conditions import ConditionType, is_true
from vmferry_api.migrations import Phase


def test_a_migration_that_stalls_is_granted_more_until_it_succeeds(migrate):
    moving = migrate(
        stallingLimit="2s",
        steps=[
            {"after": {"stalled": "2s"}, "setMaxDowntime": "500ms"},
            {"after": {"stalled": "2s"}, "setMaxDowntime": "5s"},
        ],
    )
    moving.wait(
        "to be told as stalling",
        lambda each: is_true(each.status.conditions, ConditionType.MIGRATION_STALLING),
    )
    done = moving.migration.ends()
    assert done.status.phase == Phase.SUCCEEDED
    assert [step.outcome for step in done.status.steps] == ["Applied", "Applied"]
    assert [attempt.number for attempt in done.status.attempts] == [1]
    moving.runs_only_on("node-b")
