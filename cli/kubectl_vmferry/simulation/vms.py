"""The VM of a simulation, as its source reports it."""

from vmferry_api.features import Feature
from vmferry_api.migrations import SourceReport, VMReport, VMState


def vm_report(*, memory: int, vcpus: int) -> SourceReport:
    """A VM of so many bytes on a host that can do everything."""
    return SourceReport(
        vm=VMReport(
            name="simulated",
            uuid="00000000-0000-4000-8000-000000000000",
            memory=memory,
            vcpus=vcpus,
            state=VMState.RUNNING,
            reason="Booted",
        ),
        libvirt_version="9.0.0",
        qemu_version="7.2.0",
        features=[str(feature) for feature in Feature],
    )
