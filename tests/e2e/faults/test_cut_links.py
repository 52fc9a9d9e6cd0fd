"""The link between the hosts is cut, wholly or in part, silently or sharply, and comes back."""

from datetime import timedelta

import libvirt
import pytest
from asked_migration import PATIENCE, reason

from vmferry_api.conditions import ConditionType, find_condition, is_true
from vmferry_api.migrations import AttemptOutcome, Phase, VMState
from vmferry_lab.hosts.faults import Traffic
from vmferry_lab.until import until

AGAIN = {
    "retry": {"attempts": 2, "backoff": "1s"},
    "steps": [{"after": {"passes": 6}, "setMaxDowntime": "3s"}],
}
LATER = {"steps": [{"after": {"elapsed": "20s"}, "setMaxDowntime": "3s"}]}
STALLING, INTERRUPTED = ConditionType.MIGRATION_STALLING, ConditionType.POST_COPY_INTERRUPTED


def attach(guest, node, disk):
    """Give it one more disk while it runs, as a person does by virsh."""
    connection = libvirt.open(node.uri)
    connection.lookupByUUIDString(guest.uuid).attachDevice(
        f"""<disk type='file' device='disk'>
          <driver name='qemu' type='raw'/>
          <source file='{disk}'/>
          <target dev='vdc' bus='virtio'/>
          <readonly/>
        </disk>"""
    )
    connection.close()


def message(migration, type_):
    return find_condition(migration.status.conditions, type_).message


def outcomes(migration):
    return [attempt.outcome for attempt in migration.status.attempts]


def has_failed_once(migration):
    return AttemptOutcome.FAILED in outcomes(migration)


def interrupted(migration):
    return is_true(migration.status.conditions, INTERRUPTED) and migration.status.phase == Phase.RECOVERING


def flows(migration):
    return migration.status.phase == Phase.POST_COPY and not is_true(migration.status.conditions, INTERRUPTED)


def assert_recovered(it, assert_runs_only_on):
    it.migration.wait("memory to flow again", lambda each: flows(each) or each.status.is_over, timeout=120)
    it.hurries()
    done = it.migration.ends(timeout=120)
    assert done.status.phase == Phase.SUCCEEDED
    assert outcomes(done) == [AttemptOutcome.COMPLETED]
    assert_runs_only_on(it.guest, "node-b")
    return done


@pytest.mark.parametrize("how", ["the whole link, silently", "the control channel alone"])
def test_in_pre_copy_the_guest_runs_on_and_is_moved_when_the_link_is_back(
    target, pre_copy, assert_runs_only_on, how
):
    it = pre_copy(**AGAIN)
    if "whole" in how:
        target.cut()
    else:
        target.drop(Traffic.CONTROL)
    it.sees("the first attempt to fail", has_failed_once)
    target.heal()
    done = it.migration.ends()
    assert done.status.phase == Phase.SUCCEEDED
    assert_runs_only_on(it.guest, "node-b")


def test_in_pre_copy_a_stream_that_is_cut_is_found_by_its_silence_and_goes_on(
    target, pre_copy, assert_runs_only_on
):
    it = pre_copy(stallingLimit="5s", **LATER)
    target.drop(Traffic.STREAM)
    it.sees("the silence to be told", lambda each: reason(each, STALLING) == "LinkSilent")
    target.heal()
    done = it.migration.ends(timeout=120)
    assert (done.status.phase, outcomes(done)) == (Phase.SUCCEEDED, [AttemptOutcome.COMPLETED])
    assert_runs_only_on(it.guest, "node-b")


def test_in_pre_copy_a_stream_that_stays_cut_is_given_up_by_the_agent_alone(
    target, pre_copy, assert_runs_only_on
):
    it = pre_copy(progressTimeout="10s")
    target.drop(Traffic.STREAM)
    done = it.migration.ends()
    assert (done.status.phase, outcomes(done)) == (Phase.FAILED, [AttemptOutcome.ABORTED])
    assert done.status.attempts[-1].error.startswith("progressTimeout")
    assert f"{it.guest.name} goes on running on node-a" in message(done, ConditionType.FAILED)
    assert done.status.source.after_attempt == 1
    target.heal()
    it.sees(
        "the target to be seen without it after the end",
        lambda each: (each.status.target.vm.state, each.status.target.after_attempt) == (VMState.ABSENT, 1),
    )
    assert_runs_only_on(it.guest, "node-a")


def test_in_pre_copy_a_sharp_cut_fails_at_once_and_another_try_moves_it(
    target, pre_copy, assert_runs_only_on
):
    it = pre_copy(**AGAIN)
    target.reset(Traffic.STREAM)
    done = it.migration.ends()
    assert outcomes(done) == [AttemptOutcome.FAILED, AttemptOutcome.COMPLETED]
    it.sees(
        "the target to be seen with it after the end",
        lambda each: (each.status.target.vm.state, each.status.target.after_attempt) == (VMState.RUNNING, 2),
    )
    assert_runs_only_on(it.guest, "node-b")


def test_a_disk_that_is_attached_between_two_tries_is_told_before_the_next_one(
    lab, source, target, pre_copy, assert_runs_only_on
):
    it = pre_copy(**{**AGAIN, "retry": {"attempts": 2, "backoff": "20s"}})
    disk = it.guest.console.parent / f"{it.guest.name}.more"
    disk.write_bytes(bytes(2**20))
    target.reset(Traffic.STREAM)
    it.sees("the first attempt to fail", has_failed_once)
    attach(it.guest, source, disk)
    seen = it.sees(
        "the disk to be told",
        lambda each: (
            each.status.source.hardware
            and str(disk) in [known.path for known in each.status.source.hardware.disks]
        ),
    )
    assert outcomes(seen) == [AttemptOutcome.FAILED]
    assert it.migration.ends(timeout=120).status.phase == Phase.SUCCEEDED
    assert_runs_only_on(it.guest, "node-b")


def test_in_post_copy_a_sharp_cut_is_recovered_at_once(target, post_copy, assert_runs_only_on):
    it = post_copy()
    target.reset(Traffic.STREAM)
    it.sees("the interruption", lambda each: each.status.recovery)
    done = assert_recovered(it, assert_runs_only_on)
    assert done.status.recovery.end is not None
    assert done.status.recovery.tries >= 1


def test_in_post_copy_a_silent_cut_of_the_whole_link_is_recovered_when_it_is_back(
    target, post_copy, assert_runs_only_on
):
    it = post_copy()
    target.cut()
    it.sees("the interruption to be told", interrupted)
    target.heal()
    done = assert_recovered(it, assert_runs_only_on)
    assert done.status.attempts[-1].interrupted > timedelta(0)


def test_in_post_copy_a_target_that_reaches_nobody_is_told_by_its_lease_and_recovered_when_it_is_back(
    target, post_copy, assert_runs_only_on
):
    it = post_copy(postCopyRecovery={"attempts": 100, "backoff": "5s"})
    target.cut()
    target.cut_control_link()
    seen = it.migration.wait(
        "the silent agent to be told",
        lambda each: reason(each, ConditionType.RECONCILING) == "AgentSilent",
        timeout=120,
    )
    assert "the agent of node-b has been silent" in message(seen, ConditionType.RECONCILING)
    assert seen.status.phase == Phase.RECOVERING
    target.heal_control_link()
    it.sees("the agent to be back", lambda each: reason(each, ConditionType.RECONCILING) == "LinkLost")
    target.heal()
    done = assert_recovered(it, assert_runs_only_on)
    assert done.status.attempts[-1].interrupted >= timedelta(seconds=20)


def test_in_post_copy_a_stream_that_is_cut_is_found_by_its_silence_ended_and_taken_up_anew(
    target, post_copy, assert_runs_only_on
):
    it = post_copy()
    target.drop(Traffic.STREAM)
    it.sees("the silence to be told", lambda each: reason(each, INTERRUPTED) == "LinkSilent")
    it.sees("the target's end to be dead", lambda each: each.status.target.vm.reason == "PostCopyFailed")
    it.sees("the source's end to be dead", lambda each: reason(each, INTERRUPTED) == "LinkLost")
    target.heal()
    it.migration.wait("to be taken up anew", lambda each: each.status.recovery.tries >= 1, timeout=120)
    assert_recovered(it, assert_runs_only_on)


def test_in_post_copy_a_stream_that_may_not_be_ended_goes_on_by_itself_when_the_link_is_back(
    lab, target, post_copy, assert_runs_only_on
):
    it = post_copy()
    lab.components.stop("agent-node-b")
    target.drop(Traffic.STREAM)
    it.sees("the silence to be told", lambda each: reason(each, INTERRUPTED) == "LinkSilent")
    target.heal()
    it.sees("memory to flow", lambda each: reason(each, INTERRUPTED) == "PostCopy")
    lab.components.start("agent-node-b")
    done = assert_recovered(it, assert_runs_only_on)
    assert (done.status.recovery.tries, done.status.recovery.end is not None) == (0, True)


def test_in_post_copy_daemons_that_lose_each_other_are_no_interruption(
    target, post_copy, assert_runs_only_on
):
    it = post_copy()
    target.drop(Traffic.CONTROL)
    it.sees(
        "the daemons to be apart, and memory to flow",
        lambda each: (reason(each, INTERRUPTED), each.status.phase) == ("DaemonsApart", Phase.POST_COPY),
    )
    target.heal()
    assert_recovered(it, assert_runs_only_on)


def test_tries_that_are_used_up_leave_it_paused_and_shouted_about_until_the_policy_allows_more(
    api, target, post_copy, assert_runs_only_on
):
    it = post_copy(postCopyRecovery={"attempts": 1, "backoff": "1s"})
    target.cut()
    it.sees("to be given up", lambda each: reason(each, INTERRUPTED) == "RecoveryExhausted")
    seen = it.sees("to be shouted about", lambda each: is_true(each.status.conditions, ConditionType.STALLED))
    assert seen.status.phase == Phase.RECOVERING
    assert seen.status.recovery.error
    target.heal()
    more = {"spec": {"postCopyRecovery": {"attempts": 100, "backoff": "1s"}}}
    api.patch_cluster_custom_object(
        "vmferry.io", "v1alpha1", "migrationpolicies", seen.status.policy.name, more
    )
    assert_recovered(it, assert_runs_only_on)
    story = it.migration.tells(
        "PostCopyStarted", "RecoveryExhausted", "PolicyEdited", "PostCopyRecovered", "Migrated"
    )
    assert "PostCopyInterrupted" in [each["reason"] for each in story]


def test_a_link_that_carries_too_little_is_told_from_a_guest_that_writes_too_much(
    target, pre_copy, assert_runs_only_on
):
    it = pre_copy(stallingLimit="3s", **LATER)
    target.shape(20_000_000)
    it.sees("the link to be told", lambda each: reason(each, STALLING) == "LinkSlow")
    target.unshape()
    assert it.migration.ends(timeout=120).status.phase == Phase.SUCCEEDED
    assert_runs_only_on(it.guest, "node-b")


def test_a_node_that_reaches_neither_operator_nor_api_server_ends_a_hopeless_migration_by_itself(
    source, target, pre_copy, assert_runs_only_on
):
    it = pre_copy(progressTimeout="8s")
    source.cut_control_link()
    target.cut_control_link()
    until("the migration to be given up", lambda: not it.guest.is_migrating(source), timeout=PATIENCE)
    source.heal_control_link()
    target.heal_control_link()
    done = it.migration.ends(timeout=120)
    assert (done.status.phase, outcomes(done)) == (Phase.FAILED, [AttemptOutcome.ABORTED])
    assert done.status.attempts[-1].error.startswith("progressTimeout")
    assert_runs_only_on(it.guest, "node-a")
