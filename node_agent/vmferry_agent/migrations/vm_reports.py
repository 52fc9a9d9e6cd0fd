"""A domain, as status shows it."""

from vmferry_agent.hypervisor.port import Domain
from vmferry_api.migrations import VMReport


def vm_report(domain: Domain) -> VMReport:
    """The domain in the API's words."""
    return VMReport(
        name=domain.name,
        uuid=domain.uuid,
        memory=domain.memory,
        vcpus=domain.vcpus,
        state=domain.state,
        reason=domain.reason,
    )
