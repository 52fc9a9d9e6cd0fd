"""CEL rules over a policy's steps: what could never be reached, or never do anything.

They are written without CEL's macros of two variables, which few of its implementations have.
"""

from collections.abc import Callable

from vmferry_api.durations import is_duration
from vmferry_api.quantities import in_cel, is_quantity
from vmferry_api.schemas import Rule

MAX_STEPS = 16
DEFAULT_DOWNTIME = "300ms"
"""QEMU's, where a policy grants none."""

Comparison = Callable[[str, str], str]
"""The CEL expression of whether one value is above another one."""

_PLACES = str(list(range(MAX_STEPS)))
_STEP, _OTHER = "self.steps[i]", "self.steps[j]"
_SOONER = (
    "is sure to be taken before: it stands before a step after `stalled`, or is due sooner by the same clock"
)


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
            _all_places(f"!has({_STEP}.abort) || i == size(self.steps) - 1"),
            "abort must be the last step: nothing behind it can be reached",
        ),
        _of_steps(
            _all_pairs(f"!has({_OTHER}.abort) || !({_due(_OTHER, '<', _STEP)})"),
            "a step that is due later than abort can't be reached; put it before, or remove it",
        ),
        _of_steps(
            f"self.steps.all(s, !has(s.setMaxDowntime) || {_longer('s.setMaxDowntime', granted)})",
            f"setMaxDowntime must be above the policy's maxDowntime ({DEFAULT_DOWNTIME} unless given), or the "
            "step does nothing; raise it, or lower maxDowntime",
        ),
        _of_steps(
            _above_earlier("setMaxDowntime", _longer),
            f"setMaxDowntime must be above that of every step that {_SOONER}; raise it, remove it, or change the "
            "order",
        ),
        _of_steps(
            f"self.steps.all(s, !has(s.setBandwidth) || (has(self.bandwidth) && has({cap}) && "
            f"{_higher('s.setBandwidth', cap)}))",
            "setBandwidth must be above bandwidth.perMigration, or the step does nothing; raise it, or set "
            "perMigration (without it there is no cap to raise)",
        ),
        _of_steps(
            _above_earlier("setBandwidth", _higher),
            f"setBandwidth must be above that of every step that {_SOONER}; raise it, remove it, or change the "
            "order",
        ),
        _of_steps(
            f"self.steps.exists(s, has(s.restart)) || ({_once('switchToPostCopy')} && {_once('suspend')})",
            f"switchToPostCopy or suspend repeats a step that {_SOONER}; remove one of them",
        ),
        _of_steps(
            f"!has(self.timeout) || {_in_time('elapsed', 'base', 'perGiB')}",
            "a step `elapsed` must be due before timeout.base ends the attempt; raise or remove timeout",
        ),
        _of_steps(
            f"!has(self.timeout) || {_in_time('elapsedPerGiB', 'perGiB', 'base')}",
            "a step `elapsedPerGiB` must be due before timeout.perGiB ends the attempt; raise or remove timeout",
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


def _all_places(condition: str) -> str:
    return f"{_PLACES}.all(i, i >= size(self.steps) || {condition})"


def _all_pairs(condition: str) -> str:
    return _all_places(f"{_PLACES}.all(j, j >= size(self.steps) || {condition})")


def _above_earlier(action: str, comparison: Comparison) -> str:
    one, other = f"{_STEP}.{action}", f"{_OTHER}.{action}"
    return _all_pairs(
        f"!has({one}) || !has({other}) || !({_taken_before(_OTHER, _STEP)}) || {comparison(one, other)}"
    )


def _once(action: str) -> str:
    return _all_pairs(
        f"!has({_STEP}.{action}) || !has({_OTHER}.{action}) || !({_taken_before(_OTHER, _STEP)})"
    )


def _taken_before(one: str, other: str) -> str:
    """Whether one step, at j, is sure to be taken before another one, at i.

    A step after `stalled` waits until all before it are behind; of the others the first one that is due is taken.
    """
    no_later = _due(one, "<=", other)
    return f"(j < i && (has({other}.after.stalled) || {no_later})) || {_due(one, '<', other)}"


def _due(one: str, relation: str, other: str) -> str:
    """How two steps that are due by the same clock follow each other."""
    one, other = f"{one}.after", f"{other}.after"
    passes = f"has({one}.passes) && has({other}.passes) && {one}.passes {relation} {other}.passes"
    elapsed = (
        f"has({one}.{clock}) && has({other}.{clock}) && {_given(f'{one}.{clock}', f'{other}.{clock}')}"
        f" && duration({one}.{clock}) {relation} duration({other}.{clock})"
        for clock in ("elapsed", "elapsedPerGiB")
    )
    return " || ".join(f"({each})" for each in (passes, *elapsed))


def _in_time(clock: str, bound: str, other: str) -> str:
    """Whether each step by a clock is due before the timeout, where that runs by the same clock alone."""
    bound, other = f"self.timeout.{bound}", f"self.timeout.{other}"
    due = f"s.after.{clock}"
    return (
        f"!has({bound}) || !{is_duration(bound)} || duration({bound}) <= duration('0s')"
        f" || (has({other}) && (!{is_duration(other)} || duration({other}) > duration('0s')))"
        f" || self.steps.all(s, !has({due}) || !{is_duration(due)} || duration({due}) < duration({bound}))"
    )


def _given(one: str, other: str) -> str:
    return f"{is_duration(one)} && {is_duration(other)}"


def _longer(one: str, other: str) -> str:
    return f"(!({_given(one, other)}) || duration({one}) > duration({other}))"


def _higher(one: str, other: str) -> str:
    given = f"{is_quantity(one)} && {is_quantity(other)}"
    return f"(!({given}) || {in_cel(one)}.compareTo({in_cel(other)}) > 0)"
