"""The VM of a simulation and its hosts, as agents see them."""

from vmferry_agent.hypervisor.port import Domain, HostFacts
from vmferry_api.features import Feature
from vmferry_api.migrations import VMState

HOST = HostFacts(
    libvirt_version="9.0.0", qemu_version="7.2.0", free_memory=2**50, features=frozenset(Feature)
)
"""Either host: it can do everything."""


def simulated_vm(*, memory: int, vcpus: int) -> Domain:
    """A VM of so many bytes."""
    return Domain(
        name="the VM",
        uuid="00000000-0000-4000-8000-000000000000",
        state=VMState.RUNNING,
        reason="Booted",
        memory=memory,
        vcpus=vcpus,
        persistent=True,
    )
