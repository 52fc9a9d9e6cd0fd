"""A host loses power in mid-migration: what is left is told, and nothing is started or destroyed by itself."""

from datetime import timedelta

import libvirt
from asked_migration import reason

from vmferry_api.conditions import ConditionType, find_condition
from vmferry_api.migrations import AttemptOutcome, Phase, VMState


def destroy(guest, node):
    """As a person does, by virsh."""
    connection = libvirt.open(node.uri)
    connection.lookupByUUIDString(guest.uuid).destroy()
    connection.close()


def message(migration, type_):
    return find_condition(migration.status.conditions, type_).message


def test_a_target_lost_in_pre_copy_leaves_the_guest_on_its_source(lab, target, pre_copy, assert_runs_only_on):
    it = pre_copy(
        retry={"attempts": 2, "backoff": "1s"}, steps=[{"after": {"passes": 6}, "setMaxDowntime": "3s"}]
    )
    target.power_off()
    it.sees("the attempt to fail", lambda each: each.status.attempts[-1].outcome == AttemptOutcome.FAILED)
    lab.power_on(target.name)
    done = it.migration.ends(timeout=120)
    assert done.status.phase == Phase.SUCCEEDED
    assert_runs_only_on(it.guest, "node-b")


def test_a_target_lost_in_post_copy_is_a_lost_vm_and_its_half_is_left_to_a_person(
    lab, source, target, post_copy
):
    it = post_copy()
    target.power_off()
    it.sees("the interruption to be told", lambda each: each.status.phase == Phase.RECOVERING)
    seen = it.migration.wait(
        "the lost agent to be told from a lost link",
        lambda each: reason(each, ConditionType.RECONCILING) == "AgentSilent",
        timeout=120,
    )
    told = message(seen, ConditionType.RECONCILING)
    assert f"{it.guest.name} is half on node-a and half on node-b" in told
    assert "the agent of node-b has been silent: its Lease has not been renewed since" in told
    assert f"Fence node-b first (see that it is off, or that {it.guest.name} is not started there)" in told
    assert "the agent of node-a has been silent" not in told
    assert seen.status.phase == Phase.RECOVERING
    assert it.guest.states([source]) == {"node-a": "paused"}
    lab.power_on(target.name)
    seen = it.migration.wait(
        "to be told as frozen", lambda each: reason(each, ConditionType.STALLED) == "VMFrozen", timeout=120
    )
    told = message(seen, ConditionType.STALLED)
    assert f"{it.guest.name} stands still on node-a for ever" in told
    assert f"then destroy {it.guest.name} on node-a (there: virsh destroy {it.guest.name})" in told
    assert "What is left of it: on node-a one half, Paused (PostCopyFailed); on node-b" in told
    assert seen.status.source.vm.state == VMState.PAUSED
    assert seen.status.attempts[-1].interrupted >= timedelta(seconds=5)
    destroy(it.guest, source)
    done = it.migration.ends()
    assert (done.status.phase, reason(done, ConditionType.FAILED)) == (Phase.FAILED, "VMLost")
    assert "What is left of it: on node-a its definition, ShutOff (Destroyed)" in message(
        done, ConditionType.FAILED
    )
    assert it.guest.verdict().intact


def test_a_source_lost_in_pre_copy_takes_its_vm_with_it_and_that_is_told(lab, source, target, pre_copy):
    it = pre_copy()
    source.power_off()
    it.sees(
        "the agent's silence to be told",
        lambda each: reason(each, ConditionType.RECONCILING) == "AgentSilent",
    )
    lab.power_on(source.name)
    done = it.migration.ends(timeout=120)
    assert (done.status.phase, reason(done, ConditionType.FAILED)) == (Phase.FAILED, "VMLost")
    assert it.guest.states([target]) == {}
    assert it.guest.verdict().intact


def test_a_source_lost_in_post_copy_is_fenced_first_and_nothing_is_started(lab, source, target, post_copy):
    it = post_copy()
    source.power_off()
    seen = it.sees(
        "the agent's silence to be told",
        lambda each: reason(each, ConditionType.RECONCILING) == "AgentSilent",
    )
    assert "Fence node-a first" in message(seen, ConditionType.RECONCILING)
    assert seen.status.phase == Phase.POST_COPY
    lab.power_on(source.name)
    seen = it.migration.wait(
        "to be told as frozen", lambda each: reason(each, ConditionType.STALLED) == "VMFrozen", timeout=120
    )
    told = message(seen, ConditionType.STALLED)
    assert "Fence node-a first" in told
    assert f"(there: virsh destroy {it.guest.name})" in told
    assert "What is left of it: on node-a its definition, ShutOff" in told
    assert it.guest.states([source]) == {"node-a": "shut off"}
    destroy(it.guest, target)
    done = it.migration.ends()
    assert (done.status.phase, reason(done, ConditionType.FAILED)) == (Phase.FAILED, "VMLost")
    assert it.guest.verdict().intact
