"""What conditions mean, in words."""

from dataclasses import dataclass

from vmferry_api.conditions import AGENT_SILENT, HYPERVISOR_UNREACHABLE, Condition, ConditionType, Status


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """A condition in words."""

    good: bool | None
    """None: neither good nor bad, or not known."""
    text: str
    message: str
    """What was said with it."""


_WORDS: dict[str, tuple[str, str]] = {
    ConditionType.ACCEPTED: ("the policy can be carried out", "it can't be carried out as it is"),
    ConditionType.TARGET_READY: ("the target can take the VM", "the target can't take the VM"),
    ConditionType.RUNNING: ("a job runs in libvirt", "no job runs in libvirt"),
    ConditionType.MIGRATION_STALLING: ("the needed downtime does not fall", "it gets on"),
    ConditionType.POST_COPY_INTERRUPTED: (
        "the stream of post-copy is interrupted",
        "post-copy is not interrupted",
    ),
    ConditionType.COMPLETE: ("the VM runs on its target", "the VM has not moved"),
    ConditionType.FAILED: ("it ended, and the VM has not moved", "it has not failed"),
    ConditionType.RECONCILING: ("work goes on", "nothing is done"),
    ConditionType.STALLED: ("it goes no further without a person", "it needs nobody"),
}
"""If True, and if False."""
_BAD_IF_TRUE = {
    ConditionType.MIGRATION_STALLING,
    ConditionType.POST_COPY_INTERRUPTED,
    ConditionType.FAILED,
    ConditionType.STALLED,
}
_NEUTRAL = {ConditionType.RUNNING, ConditionType.RECONCILING}
_ATTENTION = {
    AGENT_SILENT: "an agent does not report",
    HYPERVISOR_UNREACHABLE: "the agent does not reach its libvirt",
}
"""Reasons that tell more than their condition does."""


def meaning(condition: Condition, *, is_over: bool = False) -> Meaning:
    """A condition in words; one of a newer version by its own.

    Args:
        condition: One of a migration's.
        is_over: Whether that has ended: then it says nothing that nothing stalls.
    """
    stalls_not = (condition.type, condition.status) == (ConditionType.MIGRATION_STALLING, Status.FALSE)
    if is_over and stalls_not:
        return Meaning(good=None, text="", message="")
    holds, holds_not = _WORDS.get(condition.type, (f"{condition.type} is True", f"{condition.type} is False"))
    if condition.status == Status.UNKNOWN:
        text = f"not known: {condition.reason}"
    else:
        text = holds if condition.status == Status.TRUE else holds_not
    text = _ATTENTION.get(condition.reason, text)
    told_by_complete = condition.type == ConditionType.FAILED and condition.status == Status.FALSE
    return Meaning(good=_good(condition), text=text, message="" if told_by_complete else condition.message)


def _good(condition: Condition) -> bool | None:
    if condition.reason in _ATTENTION:
        return False
    known = condition.type in _WORDS and condition.type not in _NEUTRAL
    if condition.status == Status.UNKNOWN or not known:
        return None
    return (condition.status == Status.TRUE) != (condition.type in _BAD_IF_TRUE)
