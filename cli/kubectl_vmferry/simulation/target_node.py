"""Stands in for the target node's agent."""

from collections.abc import Sequence

from kubectl_vmferry.simulation.vms import HOST
from vmferry_agent.hypervisor.port import Domain
from vmferry_agent.migrations.vm_reports import vm_report
from vmferry_api.migrations import Attempt, AttemptOutcome, TargetReport, VMReport, VMState


def target_report(vm: Domain, attempts: Sequence[Attempt], *, in_post_copy: bool) -> TargetReport:
    """What the target's agent sees.

    Args:
        vm: The VM before it starts.
        attempts: What the source's agent says of them.
        in_post_copy: Whether the VM runs on the target while its memory follows.
    """
    ended = [attempt for attempt in attempts if attempt.end is not None]
    arrived = bool(ended) and ended[-1].outcome == AttemptOutcome.COMPLETED
    here = VMReport(state=VMState.ABSENT)
    if arrived or in_post_copy:
        reason = "Migrated" if arrived else "PostCopy"
        here = vm_report(vm).replace(state=VMState.RUNNING, reason=reason)
    return TargetReport(
        ready=True,
        connect_uri="qemu+tls://target/system",
        vm=here,
        after_attempt=len(ended),
        libvirt_version=HOST.libvirt_version,
        qemu_version=HOST.qemu_version,
        features=sorted(HOST.features),
        free_memory=HOST.free_memory,
    )
