"""When the agent gives up by itself, whatever the operator and the API server do."""

from datetime import timedelta

from vmferry_api.durations import format_duration
from vmferry_api.migrations import Desired


def overrun(desired: Desired, *, without_progress: timedelta, elapsed: timedelta) -> str | None:
    """The limit that a pre-copy has run into, in words; None: neither.

    Args:
        desired: The limits in force.
        without_progress: How long there has been neither progress nor a new revision.
        elapsed: How long the attempt has lasted.
    """
    if timedelta(0) < desired.progress_timeout <= without_progress:
        limit = format_duration(desired.progress_timeout)
        return f"progressTimeout: no progress and no new parameters for {limit}"
    if desired.timeout is not None and timedelta(0) < desired.timeout <= elapsed:
        return f"timeout: not done after {format_duration(desired.timeout)}"
    return None
