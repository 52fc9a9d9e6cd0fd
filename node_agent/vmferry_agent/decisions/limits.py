"""When the agent gives up by itself, whatever the operator and the API server do."""

from datetime import timedelta

from vmferry_api.durations import format_duration
from vmferry_api.migrations import Desired

_SWITCHING = timedelta(seconds=5)
_NOT_STEERING: dict[str, object] = {
    "revision": 0,
    "share": None,
    "report_every": timedelta(0),
    "reason": "",
    "time": None,
}


def steers(before: Desired | None, now: Desired) -> bool:
    """Whether a revision is one by which somebody still tries, so that `progressTimeout` counts anew.

    A node's bandwidth is shared out again and again as migrations come and go; that alone must not keep a hopeless
    one alive. (If it gets clearly more or less, its needed downtime is looked at anew, and that is progress.)
    """
    return before is None or before.replace(**_NOT_STEERING) != now.replace(**_NOT_STEERING)


def may_be_switching(since_order: timedelta) -> bool:
    """Whether the guest may be on its way into post-copy, so that nothing may abort.

    QEMU switches within 0.1 s of the order, and libvirt tells a moment later. An abort in between could let the
    guest run on both hosts, whatever the domain's state still says.

    Args:
        since_order: How long ago the switch to post-copy was ordered.
    """
    return since_order < _SWITCHING


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
