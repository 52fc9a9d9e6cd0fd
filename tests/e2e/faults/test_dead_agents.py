"""An agent is killed in mid-migration: libvirt goes on, and the next process tells the truth."""

import pytest

from vmferry_api.migrations import AttemptOutcome, Phase

AGENTS = ["agent-node-a", "agent-node-b"]


def assert_moved_at_once(it, done, assert_runs_only_on):
    """One attempt, and its end."""
    assert done.status.phase == Phase.SUCCEEDED
    assert [attempt.outcome for attempt in done.status.attempts] == [AttemptOutcome.COMPLETED]
    assert_runs_only_on(it.guest, "node-b")


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "asked to end, as by a drain or a roll-out"])
@pytest.mark.parametrize("agent", AGENTS)
def test_a_pre_copy_goes_on_and_is_steered_by_the_next_process(
    lab, pre_copy, assert_runs_only_on, agent, kill
):
    it = pre_copy(steps=[{"after": {"passes": 12}, "setMaxDowntime": "3s"}])
    lab.components.restart(agent, kill=kill)
    done = it.migration.ends()
    assert [step.outcome for step in done.status.steps] == ["Applied"]
    assert_moved_at_once(it, done, assert_runs_only_on)


@pytest.mark.parametrize("agent", AGENTS)
def test_a_post_copy_goes_on_and_is_told_by_the_next_process(lab, post_copy, assert_runs_only_on, agent):
    it = post_copy()
    lab.components.restart(agent, kill=True)
    lab.components.health(agent)
    it.hurries()
    assert_moved_at_once(it, it.migration.ends(), assert_runs_only_on)


def test_what_ended_while_no_agent_was_there_is_told_afterwards(lab, post_copy, target, assert_runs_only_on):
    it = post_copy()
    lab.components.stop("agent-node-a", kill=True)
    it.sees("to be whole on the target", lambda each: each.status.target.vm.reason == "Migrated")
    lab.components.start("agent-node-a")
    done = it.migration.ends()
    assert done.status.phase == Phase.SUCCEEDED
    assert_runs_only_on(it.guest, "node-b")


def test_a_guest_that_was_suspended_runs_again_though_agent_and_daemon_died(
    lab, pre_copy, source, assert_runs_only_on
):
    it = pre_copy(
        passes=1,
        bandwidth={"perMigration": "2Mi"},
        steps=[{"after": {"elapsed": "3s"}, "suspend": {}}],
    )
    it.sees("to be suspended", lambda each: each.status.source.vm.state == "Paused")
    lab.components.stop("agent-node-a", kill=True)
    source.kill_daemon()
    source.start()
    it.migration.patch_spec(cancel=True)
    lab.components.start("agent-node-a")
    assert it.migration.ends().status.phase in {Phase.CANCELLED, Phase.FAILED}
    it.sees("to be let run again", lambda each: each.status.source.vm.state == "Running")
    assert_runs_only_on(it.guest, "node-a")
