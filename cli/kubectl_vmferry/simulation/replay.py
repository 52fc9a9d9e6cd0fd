"""What a policy decides on a recorded migration, which its decisions do not change."""

from datetime import timedelta
from functools import partial

from kubectl_vmferry.simulation.recording import RecordedJob, Recording
from kubectl_vmferry.simulation.results import Outcome, OutcomeName, milliseconds
from kubectl_vmferry.simulation.simulate import Setting
from kubectl_vmferry.simulation.vms import vm_report
from vmferry_api.durations import format_duration
from vmferry_api.migrations import Desired, DesiredState, MigrationTechnique, Progress


def replay_setting(recording: Recording, *, memory: int | None = None, vcpus: int = 1) -> Setting:
    """The setting in which policies are simulated on a recording.

    Args:
        recording: The recording.
        memory: The VM's, in bytes, for what a policy reckons per GiB; None: as recorded.
        vcpus: Its processors.
    """
    return Setting(
        source=vm_report(memory=memory or recording.memory, vcpus=vcpus),
        start_job=lambda _start: RecordedJob(recording),
        until=recording.end.time + 1,
        verdict=partial(_verdict, recording),
    )


def _verdict(recording: Recording, desired: Desired, progress: Progress | None, now: float) -> Outcome | None:
    """The end of the replay: the recording is over, or what followed would not have been so."""
    t = milliseconds(now) or 0.0
    changed = _changed_course(recording, desired, progress, now)
    if changed is not None:
        name, why = changed
        return Outcome(t=t, outcome=name, why=f"{why}; what would have followed was not recorded")
    end = recording.end
    if now < end.time:
        return None
    recorded = "it completed" if end.moved else f"it ended: {end.error}"
    limit = recording.max_downtime
    under = "" if limit is None else f", recorded with a downtime limit of {format_duration(limit)}"
    return Outcome(
        t=t,
        outcome=OutcomeName.TRACE_ENDED,
        why=f"{recorded}{under}",
        total_time=milliseconds(end.time),
        downtime=milliseconds(end.downtime),
    )


def _changed_course(
    recording: Recording, desired: Desired, progress: Progress | None, now: float
) -> tuple[OutcomeName, str] | None:
    if desired.attempt > 1:
        return OutcomeName.WOULD_RESTART, desired.reason
    if desired.state == DesiredState.ABORT:
        return OutcomeName.WOULD_ABORT, desired.reason
    if desired.technique == MigrationTechnique.POST_COPY and now < recording.post_copy_at:
        return OutcomeName.WOULD_POST_COPY, desired.reason
    if desired.suspend:
        return OutcomeName.WOULD_SUSPEND, desired.reason
    return _would_switch_over(progress)


def _would_switch_over(progress: Progress | None) -> tuple[OutcomeName, str] | None:
    needed = progress.needed_downtime if progress else None
    granted = progress.max_downtime if progress else None
    if needed is None or granted is None or not timedelta(0) < needed < granted:
        return None
    why = f"{format_duration(granted)} are granted, {format_duration(needed)} are needed"
    return OutcomeName.WOULD_SWITCH_OVER, why
