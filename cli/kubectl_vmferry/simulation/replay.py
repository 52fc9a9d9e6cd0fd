"""What a policy decides on a recorded migration, which its decisions do not change."""

from datetime import timedelta
from functools import partial

from kubectl_vmferry.simulation.recording import RecordedJob, Recording
from kubectl_vmferry.simulation.results import Outcome, OutcomeName, milliseconds
from kubectl_vmferry.simulation.simulate import Seen, Setting
from kubectl_vmferry.simulation.vms import simulated_vm
from vmferry_api.durations import format_duration
from vmferry_api.migrations import DesiredState, MigrationTechnique, Progress


def replay_setting(recording: Recording, *, memory: int | None = None, vcpus: int = 1) -> Setting:
    """The setting in which policies are simulated on a recording.

    Args:
        recording: The recording.
        memory: The VM's, in bytes, for what a policy reckons per GiB; None: as recorded.
        vcpus: Its processors.
    """
    return Setting(
        vm=simulated_vm(memory=memory or recording.memory, vcpus=vcpus),
        start_job=lambda _start: RecordedJob(recording),
        until=recording.end.time + 1,
        verdict=partial(_verdict, recording),
    )


def _verdict(recording: Recording, seen: Seen) -> Outcome | None:
    """The end of the replay: the recording is over, or what followed would not have been so."""
    t = milliseconds(seen.now) or 0.0
    changed = _changed_course(recording, seen)
    if changed is not None:
        name, why = changed
        return Outcome(t=t, outcome=name, why=f"{why}; what would have followed was not recorded")
    if seen.in_post_copy:
        return Outcome(
            t=t,
            outcome=OutcomeName.TRACE_ENDED,
            why="the recording goes over to post-copy, which was not decided here by then",
        )
    end = recording.end
    if seen.now < end.time:
        return None
    return Outcome(
        t=t,
        outcome=OutcomeName.TRACE_ENDED,
        why=_recorded_end(recording, seen.progress),
        total_time=milliseconds(end.time),
        downtime=milliseconds(end.downtime),
    )


def _changed_course(recording: Recording, seen: Seen) -> tuple[OutcomeName, str] | None:
    desired = seen.desired
    if desired.attempt > 1:
        return OutcomeName.WOULD_RESTART, desired.reason
    if desired.state == DesiredState.ABORT:
        return OutcomeName.WOULD_ABORT, desired.reason
    if seen.given_up is not None:
        return OutcomeName.WOULD_ABORT, seen.given_up.reason
    if desired.technique == MigrationTechnique.POST_COPY:
        return OutcomeName.WOULD_POST_COPY, desired.reason
    if desired.suspend:
        return OutcomeName.WOULD_SUSPEND, desired.reason
    return _would_switch_over(recording, seen)


def _would_switch_over(recording: Recording, seen: Seen) -> tuple[OutcomeName, str] | None:
    """QEMU completes as soon as less is needed than granted; at the recording's own end that is nothing new."""
    needed = seen.progress.needed_downtime if seen.progress else None
    granted = seen.progress.max_downtime if seen.progress else None
    if seen.now >= recording.end.time or needed is None or granted is None:
        return None
    if not timedelta(0) < needed < granted:
        return None
    why = f"{format_duration(granted)} are granted, {format_duration(needed)} are needed"
    return OutcomeName.WOULD_SWITCH_OVER, why


def _recorded_end(recording: Recording, progress: Progress | None) -> str:
    end, limit = recording.end, recording.max_downtime
    told = "it completed" if end.moved else f"it ended: {end.error}"
    if limit is None:
        return told
    told = f"{told}, recorded with a downtime limit of {format_duration(limit)}"
    granted = progress.max_downtime if progress else None
    if end.moved and granted is not None and granted < limit:
        told += f"; with the {format_duration(granted)} granted here it may have gone on"
    return told
