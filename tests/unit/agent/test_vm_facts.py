"""What is found out about a VM before it leaves, and that no start waits for it."""

import asyncio
from datetime import timedelta

import pytest
from desired_parameters import desired
from scripted_hypervisor import HARDWARE, UUID, ScriptedHypervisor, domain
from source_setting import NOW, READY, MovedClock, outcome
from typing_extensions import override

from vmferry_agent.clock import Clock
from vmferry_agent.hypervisor.port import HypervisorError, HypervisorUnreachable
from vmferry_agent.migrations import vm_facts
from vmferry_api.migrations import Attempt, AttemptOutcome, Disk, Storage, VMMigrationStatus, VMState
from vmferry_api.policies import Encryption, StartOptions


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A second of a guest's life passes at once."""
    monkeypatch.setattr(vm_facts, "PERIOD", timedelta(milliseconds=1))
    monkeypatch.setattr(vm_facts, "_BETWEEN_LOOKS", 0.001)


async def test_what_the_vm_needs_and_how_fast_it_writes_is_told_before_the_start(setting):
    it = setting()
    report = (await it.reports(lambda status: status.source and status.source.dirty_rate)).source
    assert (report.hardware, report.dirty_rate) == (HARDWARE, 80_000_000)


async def test_it_is_read_once_and_measured_once(setting):
    it = setting()
    await it.reports(lambda status: status.source and status.source.dirty_rate)
    for _ in range(3):
        await it.looks_at_vm()
    assert [each[0] for each in it.hypervisor.questions] == ["hardware", "measure_dirty_rate", "dirty_rate"]


async def test_what_the_vm_needs_is_read_again_when_it_is_another_one(setting):
    it = setting()
    await it.asks("hardware")
    it.hypervisor.needs = HARDWARE.replace(machine="pc-q35-9.0")
    it.hypervisor.domain = domain(VMState.PAUSED, "User")
    await it.looks_at_vm()
    await it.reports(lambda status: status.source.hardware and status.source.hardware.machine)


MORE = HARDWARE.replace(disks=[*HARDWARE.disks, Disk(path="/d/more.img", copied=True)])


async def test_a_disk_that_is_attached_while_it_waits_is_told_after_a_while(setting):
    it = setting(clock=MovedClock())
    await it.reports(lambda status: status.source and status.source.hardware == HARDWARE)
    it.hypervisor.needs = MORE
    it.source._clock.go_on(vm_facts.READ_AGAIN)
    await it.looks_at_vm()
    await it.reports(lambda status: status.source.hardware == MORE)


async def test_what_the_vm_needs_is_told_anew_after_an_attempt_that_has_failed(setting):
    it = setting()
    await it.reports(lambda status: status.source and status.source.hardware == HARDWARE)
    it.want(desired())
    await it.asks("migrate")
    it.hypervisor.needs = MORE
    it.hypervisor.fail(HypervisorError("no"))
    seen = await it.reports(lambda status: status.source.hardware == MORE)
    assert outcome(seen) == AttemptOutcome.FAILED


async def test_a_process_that_begins_between_two_attempts_tells_it_too(setting):
    failed = Attempt(number=1, start=NOW, end=NOW, outcome=AttemptOutcome.FAILED)
    it = setting(before=VMMigrationStatus(attempts=[failed]))
    await it.reports(lambda status: status.source and status.source.hardware == HARDWARE)


async def test_what_could_not_be_read_is_not_asked_again_and_again(setting):
    hypervisor = ScriptedHypervisor()
    hypervisor.refuse["hardware"] = HypervisorError("a disk's file system hangs")
    it = setting(hypervisor=hypervisor, clock=MovedClock())
    for _ in range(3):
        await it.looks_at_vm()
        it.source._clock.go_on(vm_facts.READ_AGAIN)
    assert [each[0] for each in hypervisor.questions].count("hardware") == 1


async def test_what_could_not_be_read_is_asked_again_after_a_longer_while(setting):
    hypervisor = ScriptedHypervisor()
    hypervisor.refuse["hardware"] = HypervisorUnreachable("did not answer within 5 s")
    it = setting(hypervisor=hypervisor, clock=MovedClock())
    await it.looks_at_vm()
    del hypervisor.refuse["hardware"]
    it.source._clock.go_on(vm_facts.ASK_AGAIN)
    await it.looks_at_vm()
    await it.reports(lambda status: status.source and status.source.hardware == HARDWARE)
    hypervisor.needs = MORE
    it.source._clock.go_on(vm_facts.READ_AGAIN)
    await it.looks_at_vm()
    await it.reports(lambda status: status.source.hardware == MORE)


class Silent(ScriptedHypervisor):
    """Never tells what a VM needs."""

    @override
    async def hardware(self, uuid):
        await asyncio.Event().wait()


async def test_a_start_that_is_due_does_not_ask_before_what_the_vm_needs(setting):
    it = setting(hypervisor=Silent())
    it.want(desired())
    await it.asks("migrate")


async def test_no_restart_waits_for_what_the_vm_needs_by_now(setting):
    it = setting()
    await it.asks("hardware")
    it.want(desired())
    await it.asks("migrate")
    it.want(desired(revision=2, attempt=2))
    await it.reports(lambda status: len(status.attempts) == 2)
    assert [each[0] for each in it.hypervisor.questions].count("hardware") == 1


@pytest.mark.parametrize("call", ["measure_dirty_rate", "dirty_rate"])
async def test_a_host_that_can_t_measure_says_the_rest(setting, call):
    hypervisor = ScriptedHypervisor()
    hypervisor.refuse[call] = HypervisorError("unsupported")
    it = setting(hypervisor=hypervisor)
    await it.asks(call)
    await it.looks_at_vm()
    report = (await it.reports(lambda status: status.source)).source
    assert (report.hardware, report.dirty_rate, report.message) == (HARDWARE, None, None)


async def test_a_host_that_can_t_tell_what_the_vm_needs_says_the_rest(setting):
    hypervisor = ScriptedHypervisor()
    hypervisor.refuse["hardware"] = HypervisorError("no XML")
    report = (await setting(hypervisor=hypervisor).reports(lambda status: status.source)).source
    assert (report.hardware, report.vm.uuid, report.message) == (None, UUID, None)


async def test_a_vm_that_does_not_run_or_migrates_already_is_not_measured(setting):
    paused, migrating = ScriptedHypervisor(), ScriptedHypervisor()
    paused.domain = domain(VMState.PAUSED, "User")
    migrating.run_job()
    for hypervisor in (paused, migrating):
        it = setting(hypervisor=hypervisor)
        await it.looks_at_vm()
        assert not hypervisor.was_asked("measure_dirty_rate")


async def test_nor_is_one_that_another_migration_of_this_process_has(setting):
    it = setting(claims={UUID})
    await it.looks_at_vm()
    assert not it.hypervisor.was_asked("measure_dirty_rate")


async def test_a_measurement_that_does_not_end_is_given_up(setting, monkeypatch):
    monkeypatch.setattr(vm_facts, "_LONGEST", 0.05)
    hypervisor = ScriptedHypervisor()
    hypervisor.writes = None
    facts = vm_facts.VMFacts(hypervisor, measures=True, found=lambda: None, clock=Clock())
    await facts.look(domain(), free=True)
    async with asyncio.timeout(10):
        await facts._measuring
    assert facts.dirty_rate is None


async def test_a_start_does_not_wait_for_the_measurement_which_asks_nothing_more_then(setting):
    hypervisor = ScriptedHypervisor()
    hypervisor.writes = None
    it = setting(hypervisor=hypervisor)
    await it.asks("dirty_rate")
    it.want(desired())
    await it.asks("migrate")
    asked = list(hypervisor.questions)
    await it.looks()
    assert hypervisor.questions == asked
    hypervisor.leave()
    status = await it.reports(lambda status: outcome(status) == AttemptOutcome.COMPLETED)
    assert status.source.hardware == HARDWARE


async def test_what_was_found_out_stays_in_the_report_while_the_vm_leaves(setting):
    it = setting()
    await it.reports(lambda status: status.source and status.source.dirty_rate)
    it.want(desired())
    await it.asks("migrate")
    await it.looks()
    source = (await it.reports(lambda status: status.attempts)).source
    assert (source.hardware, source.dirty_rate) == (
        None,
        80_000_000,
    )  # long, and nobody's concern while it leaves
    it.hypervisor.fail(HypervisorError("no"))
    source = (await it.reports(outcome)).source
    assert (source.hardware, source.dirty_rate) == (HARDWARE, 80_000_000)


@pytest.mark.parametrize("storage", list(Storage))
async def test_a_start_says_what_becomes_of_the_disks_and_what_the_target_is_called(setting, storage):
    it = setting(target=READY.replace(tls_destination="b.example"))
    it.want(desired(start=StartOptions(encryption=Encryption.REQUIRED)), storage=storage)
    await it.asks("migrate")
    (start,) = it.hypervisor.starts
    assert (start.storage, start.tls_destination) == (storage, "b.example")
