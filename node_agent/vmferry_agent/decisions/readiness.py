"""Whether a VM can come to this host."""

from vmferry_agent.hypervisor.port import Domain, HostFacts
from vmferry_api.migrations import VMReport, VMState
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
