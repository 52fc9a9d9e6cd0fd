"""What a step or the planner can do to a running migration."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache

from vmferry_api.durations import format_duration, parse_duration
from vmferry_api.migrations import Desired, StepRecord
from vmferry_api.policies import StartOptions, Step
from vmferry_api.quantities import format_quantity, parse_quantity


class ActionName(StrEnum):
    """The actions, named as the steps of a policy name them."""

    SET_MAX_DOWNTIME = "setMaxDowntime"
    SET_BANDWIDTH = "setBandwidth"
    RESTART = "restart"
    SWITCH_TO_POST_COPY = "switchToPostCopy"
    SUSPEND = "suspend"
    ABORT = "abort"
    OTHER = "other"
    """None of these, or with a value that means nothing here: a newer version's word in an audit trail."""

    @classmethod
    def _missing_(cls, _value: object) -> "ActionName":
        return cls.OTHER


@dataclass(frozen=True, kw_only=True)
class Action:
    """One thing to do, and the value that it is done with."""

    name: ActionName
    value: str | None = None
    """As in the audit trail: a duration, a quantity, start options as JSON."""

    def text(self, desired: Desired) -> str:
        """In words, with what it changes."""
        if self.name == ActionName.SET_MAX_DOWNTIME:
            old = "QEMU's" if desired.max_downtime is None else format_duration(desired.max_downtime)
            return f"{self.name} {old} → {self.value}"
        if self.name == ActionName.SET_BANDWIDTH:
            old = "unlimited" if desired.bandwidth is None else format_quantity(desired.bandwidth)
            return f"{self.name} {old} → {self.value}"
        return self.name if self.value is None else f"{self.name} with {self.value}"


@dataclass(frozen=True, kw_only=True)
class Move:
    """An action that is due now."""

    action: Action
    trigger: str
    """What it is due by, with the values."""
    step: int | None = None
    """The place in the policy's list, from 1; None: the planner's own."""

    @property
    def why(self) -> str:
        """For the reason of the revision."""
        return self.trigger if self.step is None else f"step {self.step}, {self.trigger}"


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What is due now, or what will be if nothing else changes."""

    move: Move | None = None
    check_again: datetime | None = None
    """When to look again; None: nothing waits for the clock."""
    next_action: str | None = None
    """What will be done next if it goes on like this, in words."""
    next_time: datetime | None = None
    """When; None: as soon as a report calls for it."""


def action_of(step: Step) -> Action:
    """The action of a policy's step."""
    if step.set_max_downtime is not None:
        return set_max_downtime(step.set_max_downtime)
    if step.set_bandwidth is not None:
        return Action(name=ActionName.SET_BANDWIDTH, value=format_quantity(step.set_bandwidth))
    if step.restart is not None:
        return restart(step.restart.start)
    if step.switch_to_post_copy is not None:
        return Action(name=ActionName.SWITCH_TO_POST_COPY)
    if step.suspend is not None:
        return Action(name=ActionName.SUSPEND)
    return Action(name=ActionName.ABORT)


def set_max_downtime(value: timedelta) -> Action:
    """Grant this downtime."""
    return Action(name=ActionName.SET_MAX_DOWNTIME, value=format_duration(value))


def restart(start: StartOptions) -> Action:
    """Start again with these options over the policy's."""
    return Action(name=ActionName.RESTART, value=start.model_dump_json(by_alias=True, exclude_none=True))


def recorded_action(record: StepRecord) -> Action:
    """The action of a record; a trail of an earlier version has no values apart from the words."""
    return _recorded(record.action, record.value)


_READERS: Mapping[ActionName, Callable[[str], object]] = {
    ActionName.SET_MAX_DOWNTIME: parse_duration,
    ActionName.SET_BANDWIDTH: parse_quantity,
    ActionName.RESTART: StartOptions.model_validate_json,
}


@lru_cache(maxsize=1024)
def _recorded(words: str, value: str | None) -> Action:
    name = ActionName(words.partition(" ")[0])
    if value is None and "→" in words:
        value = words.rpartition("→")[2].strip()
    try:
        if value is not None and name in _READERS:
            _READERS[name](value)
    except ValueError:
        return Action(name=ActionName.OTHER, value=value)
    return Action(name=name, value=value)
