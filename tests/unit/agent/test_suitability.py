"""What a host lacks of what a VM needs, in words; what can't be told is not lacking."""

import pytest

from vmferry_agent.decisions.readiness import unsuitable
from vmferry_agent.hypervisor.port import DiskFound, Suitability
from vmferry_api.migrations import Disk, Hardware, Storage, VMReport, VMState

GIB = 2**30
VM = VMReport(name="db-1", uuid="u", state=VMState.RUNNING)
ROOT = Disk(path="/d/root.img", copied=True, size=GIB)
DATA = Disk(path="/d/data.img", copied=True, size=GIB)
ISO = Disk(path="/iso/a.iso", copied=False)


def lacking(
    *disks: Disk, storage: Storage = Storage.SHARED, found: tuple[DiskFound, ...] = (), **has: str
) -> str | None:
    needs = Hardware(type="kvm", arch="x86_64", disks=list(disks))
    return unsuitable(VM, "node-b", needs, storage, Suitability(disks=found, **has))


def test_a_host_of_which_nothing_is_known_lacks_nothing():
    for storage in Storage:
        assert lacking(ROOT, ISO, storage=storage) is None


@pytest.mark.parametrize("word", ["machine_refused", "cpu_refused"])
def test_what_libvirt_refuses_is_told_in_its_words(word):
    message = lacking(**{word: "no zork here"})
    assert "node-b" in message
    assert "no zork here" in message


def missing(disk: Disk, **known: object) -> DiskFound:
    return DiskFound(path=disk.path, there=False, **known)


@pytest.mark.parametrize(
    ("storage", "disk", "found", "words"),
    [
        (Storage.SHARED, ROOT, {"there": True}, None),
        (
            Storage.SHARED,
            ROOT,
            {"there": False},
            "does not have /d/root.img, a disk of db-1; mount it there",
        ),
        (Storage.SHARED, ISO, {"there": False}, "mount it there, or detach it"),
        (Storage.SHARED, ROOT, {"there": None, "pool": False}, None),
        (Storage.COPY_ALL, ROOT, {"there": True}, None),
        (Storage.COPY_ALL, ROOT, {"there": False, "pool": True, "room": 2 * GIB}, None),
        (Storage.COPY_ALL, ROOT, {"there": False, "pool": True, "room": None}, None),
        (Storage.COPY_ALL, ROOT, {"there": False, "pool": None}, None),
        (Storage.COPY_ALL, ROOT, {"there": None, "pool": False}, None),
        (
            Storage.COPY_ALL,
            ROOT,
            {"there": False, "pool": False},
            "no running storage pool for /d/root.img, a disk of db-1; create one (virsh pool-create-as",
        ),
        (Storage.COPY_ALL, ROOT, {"there": False, "pool": True, "room": GIB - 1}, "1Gi free in /d"),
        (Storage.COPY_ALL, ISO, {"there": False, "pool": True, "room": GIB}, "does not have /iso/a.iso"),
        (Storage.COPY_INCREMENTAL, ROOT, {"there": True}, None),
        (Storage.COPY_INCREMENTAL, ROOT, {"there": False, "pool": True}, "over the same backing file"),
    ],
)
def test_a_disk_must_be_there_or_there_must_be_a_place_to_copy_it_to(storage, disk, found, words):
    message = lacking(disk, storage=storage, found=(DiskFound(path=disk.path, **found),))
    assert (message is None) if words is None else (words in message)


def test_disks_that_come_to_one_place_must_fit_together():
    both = tuple(missing(disk, pool=True, room=GIB + GIB // 2) for disk in (ROOT, DATA))
    assert "the disks of db-1 take 2Gi" in lacking(ROOT, DATA, storage=Storage.COPY_ALL, found=both)
    one = (DiskFound(path=ROOT.path, there=True), both[1])
    assert lacking(ROOT, DATA, storage=Storage.COPY_ALL, found=one) is None
