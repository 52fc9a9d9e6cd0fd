"""What is found of domains and of the host."""

import re

import libvirt
import pytest
from called_migration import MIB

from vmferry_agent.hypervisor.port import HypervisorError
from vmferry_api.features import Feature
from vmferry_api.migrations import VMState

NOBODY = "00000000-0000-4000-8000-000000000000"


async def test_a_host_tells_what_it_is_and_what_it_can_really_do(hosts, source):
    facts = await source.facts()
    assert re.fullmatch(r"\d+\.\d+\.\d+", facts.libvirt_version)
    assert re.fullmatch(r"\d+\.\d+\.\d+", facts.qemu_version)
    assert facts.free_memory > 64 * MIB
    assert (Feature.POST_COPY in facts.features) == hosts[0].post_copy.possible


@pytest.mark.parametrize("vm", ["no-such-vm", NOBODY])
async def test_a_domain_that_is_not_there_is_none(source, vm):
    assert await source.find(vm) is None


async def test_a_domain_is_found_by_its_name_and_by_its_uuid(source, guest):
    domain = await source.find(guest.name)
    assert domain == await source.find(guest.uuid)
    assert (domain.name, domain.uuid, domain.persistent) == (guest.name, guest.uuid, True)
    assert (domain.state, domain.reason) == (VMState.RUNNING, "Booted")
    assert (domain.memory, domain.vcpus) == (64 * MIB, 1)


async def test_a_look_at_a_domain_without_a_migration_shows_its_state_alone(source, guest):
    domain = await source.find(guest.uuid)
    look = await source.look(domain)
    assert (look.domain, look.sample, look.busy) == (domain, None, False)


async def test_a_domain_that_was_stopped_is_shut_off_and_one_that_nobody_defines_is_gone(
    hosts, source, start_guest
):
    kept, lost = [await source.find(start_guest(persistent=kept).uuid) for kept in (True, False)]
    connection = libvirt.open(hosts[0].uri)
    for domain in (kept, lost):
        connection.lookupByUUIDString(domain.uuid).destroy()
    connection.close()
    look = await source.look(kept)
    assert (look.domain.state, look.domain.reason, look.busy) == (VMState.SHUT_OFF, "Destroyed", False)
    look = await source.look(lost)
    assert (look.domain, look.sample, look.busy) == (None, None, False)


async def test_a_guest_is_paused_and_runs_again(source, guest):
    domain = await source.find(guest.uuid)
    await source.suspend(domain.uuid)
    await source.suspend(domain.uuid)
    look = await source.look(domain)
    assert (look.domain.state, look.domain.reason) == (VMState.PAUSED, "User")
    await source.resume(domain.uuid)
    assert (await source.look(domain)).domain.state == VMState.RUNNING
    with pytest.raises(HypervisorError, match=r"domain is already running \(libvirt error 55\)"):
        await source.resume(domain.uuid)


@pytest.mark.parametrize(
    "call", ["abort", "break_post_copy", "start_post_copy", "suspend", "resume", "undefine"]
)
async def test_what_is_asked_of_a_domain_that_is_gone_is_refused(source, call):
    with pytest.raises(HypervisorError, match=r"Domain not found: .* \(libvirt error 42\)"):
        await getattr(source, call)(NOBODY)
