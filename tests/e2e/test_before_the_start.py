"""What both agents find out before a start, and what of a start can be changed in flight, on real daemons."""

import shutil
from pathlib import Path

import libvirt
import pytest
from asked_migration import reason

from vmferry_agent.hypervisor.libvirt_hypervisor import LibvirtHypervisor
from vmferry_agent.hypervisor.port import DiskFound, Suitability
from vmferry_api.conditions import ConditionType, find_condition
from vmferry_api.migrations import Disk, Phase, VMState
from vmferry_lab.guests.guest import Guest

MI = 2**20


@pytest.fixture
def hosts(lab):
    """Both hosts, as their agents have them."""
    return [LibvirtHypervisor(lab.host(name).uri) for name in ("node-a", "node-b")]


@pytest.fixture
async def needs(hosts, start_guest):
    """What a guest of node-a needs."""
    found = await hosts[0].hardware(start_guest(dirty_rate=0).uuid)
    assert found is not None
    return found


async def test_a_guest_lacks_nothing_on_a_host_like_its_own(hosts, needs):
    (disk,) = needs.disks
    assert disk.copied is False
    assert needs.machine.startswith("pc-i440fx-")
    assert await hosts[1].suitability(needs) == Suitability(disks=(DiskFound(path=disk.path, there=True),))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"machine": "pc-i440fx-99.9"}, "pc-i440fx-99.9"),
        ({"emulator": "/no/such/qemu"}, "/no/such/qemu"),
        ({"arch": "aarch64"}, "aarch64"),
    ],
)
async def test_a_machine_that_the_target_does_not_know_is_refused_in_libvirt_s_words(
    hosts, needs, change, word
):
    assert word in (await hosts[1].suitability(needs.replace(**change))).machine_refused


FEATURE = "<feature policy='require' name='avx512f'/>"


@pytest.mark.parametrize(
    ("cpu", "word"),
    [
        (f"<cpu mode='custom' match='exact' check='full'><model>qemu64</model>{FEATURE}</cpu>", "avx512f"),
        ("<cpu mode='custom' match='exact' check='full'><model>Icelake-Server</model></cpu>", "features"),
        ("<cpu mode='custom' match='exact' check='full'><model>Zork</model></cpu>", None),
        ("not XML", None),
    ],
)
async def test_a_processor_that_the_target_can_t_provide_is_refused_and_one_that_it_can_t_judge_is_not(
    hosts, needs, cpu, word
):
    """QEMU's emulation has no AVX-512."""
    refused = (await hosts[1].suitability(needs.replace(cpu=cpu))).cpu_refused
    assert (refused is None) if word is None else (word in refused)


@pytest.fixture
def pool(lab):
    """A running storage pool on node-b, of a directory of its own."""
    directory = lab.directory / "pool"
    directory.mkdir()
    connection = libvirt.open(lab.host("node-b").uri)
    made = connection.storagePoolCreateXML(
        f"<pool type='dir'><name>lab</name><target><path>{directory}</path></target></pool>"
    )
    yield directory
    made.destroy()
    connection.close()
    directory.rmdir()


async def test_a_disk_that_is_not_there_is_told_with_the_place_that_it_could_be_copied_to(hosts, needs, pool):
    def disks(*paths: Path) -> list[Disk]:
        return [Disk(path=str(path), copied=True) for path in paths]

    wanted = needs.replace(disks=disks(pool / "a.img", pool.parent / "a.img"))
    pooled, homeless = (await hosts[1].suitability(wanted)).disks
    assert (pooled.there, pooled.pool, homeless.there, homeless.pool) == (False, True, False, False)
    assert pooled.room > MI


async def test_a_daemon_that_can_t_be_asked_lacks_nothing(hosts, needs):
    silent = LibvirtHypervisor("qemu+unix:///session?socket=/no/such/socket")
    found = await silent.suitability(needs)
    assert found == Suitability(disks=tuple(DiskFound(path=each.path) for each in needs.disks))


def test_what_the_vm_needs_and_how_fast_it_writes_is_shown_while_it_waits(start_guest, migrate, lab):
    guest = start_guest()
    migration = migrate(guest.name, policyRef={"name": "no-such-policy"})
    migration.wait("to be refused", lambda each: reason(each, ConditionType.ACCEPTED) == "PolicyNotFound")
    seen = migration.wait("the dirty rate", lambda each: each.status.source and each.status.source.dirty_rate)
    source = seen.status.source
    assert 10_000_000 < source.dirty_rate < 200_000_000
    assert [disk.path for disk in source.hardware.disks] == [str(guest._image)]
    assert reason(seen, ConditionType.ACCEPTED) == "PolicyNotFound"
    assert seen.status.attempts == []
    assert source.vm.state == VMState.RUNNING


def test_an_edit_of_the_compression_cache_resizes_it_in_flight_and_restarts_nothing(
    lab, start_guest, policy, migrate, assert_runs_only_on
):
    guest = start_guest()
    name = policy(
        maxDowntime="100ms",
        bandwidth={"perMigration": "5Mi"},
        start={"compression": {"method": "XBZRLE", "cacheSize": "64Mi"}},
        restartOnEdit=True,
    )
    migration = migrate(guest.name, policyRef={"name": name})
    migration.wait("to be under way", lambda each: each.status.applied)
    edit = '{"spec": {"start": {"compression": {"cacheSize": "128Mi"}}}}'
    lab.kubectl.run("patch", "migpol", name, "--type=merge", "-p", edit)
    seen = migration.wait("the edit in force", lambda each: each.status.applied.revision > 1)
    assert (seen.status.desired.compression_cache, seen.status.applied.errors) == (128 * MI, [])
    assert seen.status.desired.reason == "the policy now says so: compressionCache"
    connection = libvirt.open(lab.host("node-a").uri)
    assert connection.lookupByName(guest.name).migrateGetCompressionCache() == 128 * MI
    connection.close()
    migration.patch_spec(cancel=True)
    done = migration.ends()
    assert (done.status.phase, len(done.status.attempts)) == (Phase.CANCELLED, 1)
    assert_runs_only_on(guest, "node-a")


def waits_for_its_target(migration) -> str:
    """Waits until it is told what the target lacks, and tells it."""
    seen = migration.wait(
        "what its target lacks", lambda each: reason(each, ConditionType.TARGET_READY) == "TargetNotReady"
    )
    assert (seen.status.phase, seen.status.attempts) == (Phase.PENDING, [])
    return find_condition(seen.status.conditions, ConditionType.TARGET_READY).message


def test_a_disk_that_the_target_does_not_see_is_told_before_the_start_which_comes_when_it_is_there(
    start_guest, migrate, assert_runs_only_on
):
    """The guest has it open, so that it runs on without the name."""
    guest = start_guest(dirty_rate=0)
    away = guest._image.with_suffix(".away")
    guest._image.rename(away)
    migration = migrate(guest.name)
    told = waits_for_its_target(migration)
    assert told.startswith(f"node-b does not have {guest._image}, a disk of {guest.name}; mount it there")
    away.rename(guest._image)
    assert migration.ends().status.phase == Phase.SUCCEEDED
    assert_runs_only_on(guest, "node-b")


def test_a_target_without_the_vm_s_qemu_is_told_before_the_start(
    lab, monkeypatch, start_guest, migrate, assert_runs_only_on
):
    emulator = lab.directory / "qemu-of-node-a"
    emulator.symlink_to(shutil.which("qemu-system-x86_64"))
    usual = Guest._xml

    def with_own_emulator(self, spec, disk):
        return usual(self, spec, disk).replace(shutil.which("qemu-system-x86_64"), str(emulator))

    monkeypatch.setattr(Guest, "_xml", with_own_emulator)
    guest = start_guest(dirty_rate=0)
    emulator.unlink()
    told = waits_for_its_target(migrate(guest.name))
    assert told.startswith(f"node-b can't run {guest.name}: ")
    assert str(emulator) in told
    assert_runs_only_on(guest, "node-a")
