"""Stands in for the target node's agent."""

from vmferry_api.migrations import SourceReport, TargetReport, VMMigrationStatus, VMReport, VMState


def target_report(status: VMMigrationStatus, source: SourceReport, *, in_post_copy: bool) -> TargetReport:
    """What the target's agent sees.

    Args:
        status: The source agent's part of the status.
        source: What the source reported before the start.
        in_post_copy: Whether the guest runs on the target while its memory follows.
    """
    ended = [attempt for attempt in status.attempts if attempt.end is not None]
    arrived = bool(ended) and ended[-1].outcome == "Completed"
    vm = VMReport(state=VMState.ABSENT)
    if source.vm is not None and (arrived or in_post_copy):
        vm = source.vm.replace(state=VMState.RUNNING, reason="Migrated" if arrived else "PostCopy")
    return TargetReport(
        ready=True,
        connect_uri="qemu+tls://target/system",
        vm=vm,
        after_attempt=len(ended),
        libvirt_version=source.libvirt_version,
        qemu_version=source.qemu_version,
        features=source.features,
        free_memory=source.vm.memory * 2 if source.vm and source.vm.memory else None,
    )
