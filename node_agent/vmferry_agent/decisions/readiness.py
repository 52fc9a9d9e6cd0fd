"""Whether a VM can come to this host."""

from pathlib import PurePosixPath

from vmferry_agent.hypervisor.port import DiskFound, Domain, HostFacts, Suitability
from vmferry_api.migrations import Disk, Hardware, Storage, VMReport, VMState
from vmferry_api.quantities import format_quantity, rounded


def not_ready(
    vm: VMReport, node: str, *, named: Domain | None, same: Domain | None, facts: HostFacts
) -> str | None:
    """Why the VM can't come, for people; None: it can.

    Args:
        vm: The VM as its source reports it.
        node: This node.
        named: The domain here that has the VM's name.
        same: The domain here that has the VM's UUID.
        facts: This host.
    """
    if named is not None and named.uuid != vm.uuid:
        return (
            f"{node} already has a domain named {vm.name}, another one (UUID {named.uuid}); rename or "
            f"undefine it there"
        )
    if same is not None and (same.state, same.reason) == (VMState.PAUSED, "Migration"):
        return f"{node} is receiving this VM in another migration; it is waited for"
    if same is not None and same.state not in {VMState.SHUT_OFF, VMState.CRASHED}:
        return f"{node} already has this VM, {same.state} ({same.reason}); look at it there before moving it"
    if same is not None and same.name != vm.name:
        return f"{node} already has a domain of this UUID under the name {same.name}; undefine it there"
    if vm.memory is not None and facts.free_memory < vm.memory:
        free = format_quantity(rounded(facts.free_memory))
        return f"{node} has {free} of memory free, {vm.name} needs {format_quantity(vm.memory)}"
    return None


def unsuitable(vm: VMReport, node: str, hardware: Hardware, storage: Storage, has: Suitability) -> str | None:
    """What the host lacks of what the VM needs, for people; None: nothing, as far as it can be told.

    Args:
        vm: The VM as its source reports it.
        node: This node.
        hardware: What it needs.
        storage: What becomes of its disks.
        has: What this host has of that.
    """
    if has.machine_refused is not None:
        return f"{node} can't run {vm.name}: {has.machine_refused}; install there what its source has"
    if has.cpu_refused is not None:
        return (
            f"{node} can't provide the processor of {vm.name}: {has.cpu_refused}; choose another node, or start "
            f"the VM with a processor that both have"
        )
    found = {each.path: each for each in has.disks}
    for disk in hardware.disks:
        place = found.get(disk.path, DiskFound(path=disk.path))
        lacking = _lacking(disk, storage, place)
        if lacking is not None:
            return f"{node} {lacking}, a disk of {vm.name}; {_way_out(disk, storage)}"
    return None if storage != Storage.COPY_ALL else _no_room(vm, node, hardware, has)


def _lacking(disk: Disk, storage: Storage, place: DiskFound) -> str | None:
    """What is wrong with a disk; where one is to be made, its place has to be there."""
    if place.there is not False:
        return None
    if storage == Storage.COPY_ALL and disk.copied:
        return f"has no running storage pool for {disk.path}" if place.pool is False else None
    return f"does not have {disk.path}"


def _way_out(disk: Disk, storage: Storage) -> str:
    if not disk.copied:
        return "mount it there, or detach it; read-only and shareable disks are not copied"
    if storage == Storage.COPY_ALL:
        directory = PurePosixPath(disk.path).parent
        return f"create one (virsh pool-create-as NAME dir --target {directory}), or the file"
    if storage == Storage.COPY_INCREMENTAL:
        return "create it there over the same backing file (qemu-img create -b)"
    return "mount it there, or create the migration anew with spec.storage: CopyAll"


def _no_room(vm: VMReport, node: str, hardware: Hardware, has: Suitability) -> str | None:
    """Whether the disks that are to be made fit into the pools of their directories."""
    sizes = {disk.path: disk.size or 0 for disk in hardware.disks if disk.copied}
    needed: dict[PurePosixPath, int] = {}
    rooms: dict[PurePosixPath, int] = {}
    for place in has.disks:
        if place.there is False and place.path in sizes and place.room is not None:
            directory = PurePosixPath(place.path).parent
            needed[directory] = needed.get(directory, 0) + sizes[place.path]
            rooms[directory] = place.room
    for directory, size in needed.items():
        if size > rooms[directory]:
            free, take = (format_quantity(rounded(number)) for number in (rooms[directory], size))
            return f"{node} has {free} free in {directory}, the disks of {vm.name} take {take}"
    return None
