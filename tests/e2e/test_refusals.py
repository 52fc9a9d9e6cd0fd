"""Migrations that can't start: each says why, in a condition, and the VM is untouched."""

import libvirt
import pytest
from asked_migration import reason
from hopeless import HOPELESS, HOPELESS_GUEST

from vmferry_api.conditions import ConditionType, Status, find_condition
from vmferry_api.migrations import Phase
from vmferry_lab.components import agent_name


def test_an_unknown_vm_fails_at_once(migrate):
    done = migrate("no-such-vm").ends()
    assert done.status.phase == Phase.FAILED
    assert reason(done, ConditionType.ACCEPTED) == reason(done, ConditionType.FAILED) == "VMNotFound"
    assert (
        "node-a has no domain no-such-vm"
        in find_condition(done.status.conditions, ConditionType.FAILED).message
    )


def test_an_unknown_target_node_fails_at_once(start_guest, migrate, assert_runs_only_on):
    guest = start_guest()
    done = migrate(guest.name, targetNode="node-x").ends()
    assert done.status.phase == Phase.FAILED
    assert reason(done, ConditionType.FAILED) == "NodeNotFound"
    assert_runs_only_on(guest, "node-a")


@pytest.fixture
def namesake(lab):
    """Defines another domain of the same name on node-b."""
    connection = libvirt.open(lab.host("node-b").uri)
    defined = []

    def define(name: str) -> None:
        xml = (
            f"<domain type='qemu'><name>{name}</name><memory>1024</memory><os><type>hvm</type></os></domain>"
        )
        defined.append(connection.defineXML(xml))

    yield define
    for domain in defined:
        domain.undefine()
    connection.close()


def test_a_name_that_is_taken_on_the_target_is_told_before_the_start(
    start_guest, namesake, migrate, assert_runs_only_on, lab
):
    guest = start_guest(dirty_rate=0)
    namesake(guest.name)
    migration = migrate(guest.name)
    seen = migration.wait(
        "to tell", lambda each: reason(each, ConditionType.TARGET_READY) == "TargetNotReady"
    )
    told = find_condition(seen.status.conditions, ConditionType.TARGET_READY)
    assert told.status == Status.FALSE
    assert f"node-b already has a domain named {guest.name}" in told.message
    assert seen.status.phase == Phase.PENDING
    assert seen.status.attempts == []
    assert guest.states(lab.hosts) == {"node-a": "running"}


def test_a_target_whose_agent_is_down_is_waited_for(lab, start_guest, migrate, assert_runs_only_on):
    guest = start_guest(dirty_rate=0)
    agent = agent_name("node-b")
    lab.components.stop(agent)
    try:
        migration = migrate(guest.name)
        seen = migration.wait(
            "to tell", lambda each: reason(each, ConditionType.TARGET_READY) == "AgentSilent"
        )
        told = find_condition(seen.status.conditions, ConditionType.TARGET_READY)
        assert told.status == Status.UNKNOWN
        assert "the agent of node-b has not answered" in told.message
        assert seen.status.phase == Phase.PENDING
    finally:
        lab.components.start(agent)
    assert migration.ends().status.phase == Phase.SUCCEEDED
    assert_runs_only_on(guest, "node-b")


def test_a_second_migration_of_one_vm_waits_for_the_end_of_the_first(
    start_guest, policy, migrate, assert_runs_only_on
):
    guest = start_guest(**HOPELESS_GUEST)
    first = migrate(guest.name, policyRef={"name": policy(**HOPELESS)})
    first.passes(1)
    second = migrate(guest.name)
    seen = second.wait("to tell", lambda each: reason(each, ConditionType.TARGET_READY) == "TargetNotReady")
    told = find_condition(seen.status.conditions, ConditionType.TARGET_READY)
    assert told.message == "node-b is receiving this VM in another migration; it is waited for"
    first.patch_spec(cancel=True)
    assert first.ends().status.phase == Phase.CANCELLED
    assert second.ends().status.phase == Phase.SUCCEEDED
    assert_runs_only_on(guest, "node-b")
