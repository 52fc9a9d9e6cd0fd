"""CEL rules over a policy's steps: what could never be reached, or never do anything."""

from collections.abc import Callable

from vmferry_api.durations import is_duration
from vmferry_api.quantities import in_cel, is_quantity
from vmferry_api.schemas import Rule

DEFAULT_DOWNTIME = "300ms"
"""QEMU's, where a policy grants none."""

Comparison = Callable[[str, str], str]
"""The CEL expression of whether one value is above another one."""


def step_rules() -> tuple[Rule, ...]:
    """The rules of a policy's spec.

    What is not written as it must be passes here: its own rule says so, and one message is enough.
    """
    granted = f"(has(self.maxDowntime) ? self.maxDowntime : '{DEFAULT_DOWNTIME}')"
    cap = "self.bandwidth.perMigration"
    return (
        Rule(
            rule=f"!has(self.steps) || !has(self.stallingLimit) || !{is_duration('self.stallingLimit')}"
            " || duration(self.stallingLimit) > duration('0s') || !self.steps.exists(s, has(s.after.stalled))",
            message="stallingLimit: 0s turns the detection of stalling off, so that steps after `stalled` would "
            "never be taken; set a stallingLimit or use other triggers",
            field_path=".stallingLimit",
        ),
        _of_steps(
            "self.steps.all(i, s, !has(s.abort) || i == size(self.steps) - 1)",
            "abort must be the last step: nothing behind it can be reached",
        ),
        _of_steps(
            f"self.steps.all(s, !has(s.setMaxDowntime) || {_longer('s.setMaxDowntime', granted)})",
            f"setMaxDowntime must be above the policy's maxDowntime ({DEFAULT_DOWNTIME} unless given), or the "
            "step does nothing; raise it, or lower maxDowntime",
        ),
        _of_steps(
            _above_earlier("setMaxDowntime", _longer),
            "setMaxDowntime in a step after `stalled` must be above that of every step before it: by then so much "
            "is granted already; raise it, remove it, or put it before them",
        ),
        _of_steps(
            f"self.steps.all(s, !has(s.setBandwidth) || (has(self.bandwidth) && has({cap}) && "
            f"{_higher('s.setBandwidth', cap)}))",
            "setBandwidth must be above bandwidth.perMigration, or the step does nothing; raise it, or set "
            "perMigration (without it there is no cap to raise)",
        ),
        _of_steps(
            _above_earlier("setBandwidth", _higher),
            "setBandwidth in a step after `stalled` must be above that of every step before it: by then so much "
            "is granted already; raise it, remove it, or put it before them",
        ),
        _of_steps(
            f"self.steps.exists(s, has(s.restart)) || ({_once('switchToPostCopy')} && {_once('suspend')})",
            "switchToPostCopy or suspend in a step after `stalled` repeats a step before it, which has done it by "
            "then; remove one of them",
        ),
        Rule(
            rule="!has(self.minStepInterval) || !(has(self.objective) || has(self.agentDowntimeRamp))"
            f" || !{is_duration('self.minStepInterval')} || duration(self.minStepInterval) <= duration('0s')",
            message="minStepInterval is for steps: objective and agentDowntimeRamp keep a pace of their own; "
            "remove it",
            field_path=".minStepInterval",
        ),
    )


def _of_steps(rule: str, message: str) -> Rule:
    return Rule(rule=f"!has(self.steps) || {rule}", message=message, field_path=".steps")


def _above_earlier(action: str, comparison: Comparison) -> str:
    """A step after `stalled` waits until all before it are behind; others are taken when they are due."""
    above = comparison(f"s.{action}", f"t.{action}")
    earlier = f"self.steps.all(j, t, j >= i || !has(t.{action}) || {above})"
    return f"self.steps.all(i, s, !has(s.after.stalled) || !has(s.{action}) || {earlier})"


def _once(action: str) -> str:
    earlier = f"self.steps.exists(j, t, j < i && has(t.{action}))"
    return f"self.steps.all(i, s, !has(s.after.stalled) || !has(s.{action}) || !{earlier})"


def _longer(one: str, other: str) -> str:
    given = f"{is_duration(one)} && {is_duration(other)}"
    return f"(!({given}) || duration({one}) > duration({other}))"


def _higher(one: str, other: str) -> str:
    given = f"{is_quantity(one)} && {is_quantity(other)}"
    return f"(!({given}) || {in_cel(one)}.compareTo({in_cel(other)}) > 0)"
