"""The planner of an objective: the cheapest way that it allows, chosen from what the passes show.

What it rests on was measured (docs/design.md §4): at a low limit the needed downtime is no floor, so the budget
is granted before anything is called hopeless; it is granted once, not by a ladder; a verdict takes both whole
passes and time; waiting is judged by the estimated end; post-copy is cheap early and dear late.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from vmferry_api.durations import format_duration
from vmferry_api.migrations import Attempt, Desired, PassRecord, StepRecord
from vmferry_api.policies import Objective, Otherwise, PostCopyTiming, StartOptions, Technique
from vmferry_api.quantities import format_quantity
from vmferry_operator.decisions import records
from vmferry_operator.decisions.actions import (
    Action,
    ActionName,
    Move,
    Outlook,
    restart,
    set_max_downtime,
)
from vmferry_operator.decisions.deadline import Deadline, deadline
from vmferry_operator.decisions.parameters import THROTTLES, budget
from vmferry_operator.decisions.situations import Situation
from vmferry_operator.decisions.trend import WINDOW, Trend, over_one_link, time_to_send, trend

JUDGE_AFTER = timedelta(seconds=2.5)
"""Time since the first pass before anything is called hopeless, and a pass must have ended at the full budget."""
AT_BUDGET = timedelta(seconds=1)
"""So much of that time at the full budget, however short the passes are."""
BEYOND_PROBING = 3.3
"""A needed downtime of so many budgets will not fit by granting the budget (a cyclic writer's falls to 0.3)."""
PATIENCE = timedelta(seconds=30)
PATIENCE_IN_PASSES = 10
"""So long, or so many times the first pass, it may take to converge: waiting costs bytes and guest time."""
FULL_THROTTLE = 99
"""Percent; QEMU's most."""


def next_move(
    objective: Objective,
    desired: Desired,
    steps: Sequence[StepRecord],
    situation: Situation,
    attempt: Attempt,
    *,
    now: datetime,
) -> Outlook:
    """What is due now for the objective, or when to look again.

    Args:
        objective: What matters.
        desired: What is wanted so far.
        steps: The audit trail of this try.
        situation: Where the migration stands.
        attempt: The attempt that runs.
        now: The time.
    """
    return _Planner(objective, desired, steps, situation, attempt, now=now).outlook()


def arrival_in_time(
    seen: Trend,
    granted: timedelta,
    passes: Sequence[PassRecord],
    attempt: Attempt,
    deadline: Deadline | None,
) -> datetime | None:
    """When it can be expected to get there; None: not before waiting has cost too much.

    It does not depend on when it is asked, only on what the passes have shown.

    Args:
        seen: The trend of the passes.
        granted: The downtime that the needed one has to fall to.
        passes: As reported, the first one first.
        attempt: The attempt that runs.
        deadline: The objective's.
    """
    arrives = seen.arrives(granted)
    patience = max(PATIENCE, passes[0].elapsed * PATIENCE_IN_PASSES)
    if arrives is None or arrives - seen.began > patience:
        return None
    at = attempt.start + arrives
    return at if deadline is None or at <= deadline.at else None


class _Planner:
    """One look at one migration."""

    def __init__(
        self,
        objective: Objective,
        desired: Desired,
        steps: Sequence[StepRecord],
        situation: Situation,
        attempt: Attempt,
        *,
        now: datetime,
    ) -> None:
        self._objective = objective
        self._desired = desired
        self._steps = steps
        self._situation = situation
        self._attempt = attempt
        self._now = now
        self._budget = budget(objective)
        self._granted = desired.max_downtime or self._budget
        self._deadline = deadline(objective, situation, attempt)

    def outlook(self) -> Outlook:
        passes = over_one_link(self._situation.passes)
        seen = trend(passes)
        if self._deadline is not None and self._now >= self._deadline.at:
            return self._overdue(self._deadline, seen)
        if seen is None or seen.needed <= self._granted:
            return self._until_deadline()
        if self._objective.post_copy == PostCopyTiming.AFTER_FIRST_PASS and self._has_post_copy():
            return self._move(Action(name=ActionName.SWITCH_TO_POST_COPY), f"the first pass is over ({seen})")
        if self._granted < self._budget and not self._was_refused(set_max_downtime(self._budget)):
            return self._at_preferred(passes, seen)
        return self._at_budget(passes)

    def _at_preferred(self, passes: Sequence[PassRecord], seen: Trend) -> Outlook:
        """The preferred downtime holds while it can be expected to do; then the budget is granted, once."""
        if seen.ratio is None or self._will_fit(seen, self._granted):
            return self._until_deadline("grant the budget if it does not get there")
        if seen.needed > self._budget * BEYOND_PROBING:
            if len(passes) < WINDOW and passes[-1].elapsed - passes[0].elapsed < JUDGE_AFTER:
                return self._until_deadline("judge the needed downtime")
            if not self._will_fit(seen, self._budget):
                return self._hopeless(f"{seen}: too far above the budget of {format_duration(self._budget)}")
        return self._move(
            set_max_downtime(self._budget),
            f"not converging to {format_duration(self._granted)} in time ({seen})",
        )

    def _at_budget(self, passes: Sequence[PassRecord]) -> Outlook:
        """The verdict, once there was a whole pass and some time at the budget."""
        since = self._at_budget_since(passes)
        seen = trend(self._ended_since(since, passes))
        if seen is None or seen.ratio is None:
            return self._until_deadline("judge the needed downtime at the full budget")
        judge_at = max(self._begin(passes[0]) + JUDGE_AFTER, since + AT_BUDGET)
        if self._now < judge_at:
            return self._until_deadline("judge the needed downtime at the full budget", at=judge_at)
        if self._will_fit(seen, self._granted):
            return self._until_deadline()
        return self._hopeless(f"not converging to the budget of {format_duration(self._granted)} ({seen})")

    def _at_budget_since(self, passes: Sequence[PassRecord]) -> datetime:
        granted = [
            step.effective
            for step in records.since(self._steps, self._attempt.number)
            if records.action(step).name == ActionName.SET_MAX_DOWNTIME and step.effective is not None
        ]
        return max([self._begin(passes[0]), *granted]) if passes else self._now

    def _ended_since(self, since: datetime, passes: Sequence[PassRecord]) -> Sequence[PassRecord]:
        """The passes that ended then or later, as what is granted decides at the end of a pass."""
        before = sum(self._begin(each) < since for each in passes)
        return passes[max(0, before - 1) :]

    def _begin(self, of_pass: PassRecord) -> datetime:
        return self._attempt.start + of_pass.elapsed

    def _hopeless(self, why: str) -> Outlook:
        """What is allowed, the cheapest first."""
        if self._has_post_copy():
            return self._move(Action(name=ActionName.SWITCH_TO_POST_COPY), why)
        throttled = self._throttle(why)
        if throttled is not None:
            return throttled
        last = self._last_resort()
        if last is None:
            return self._until_deadline()
        detects = self._desired.stalling_limit > timedelta(0)
        if detects and self._situation.stalling_since is None:
            return self._until_deadline(f"{last.name} once it is stalling")
        return self._move(last, why)

    def _throttle(self, why: str) -> Outlook | None:
        """Auto-converge: wait while it can still press harder, or start again with it; None: it is no way out."""
        if Technique.AUTO_CONVERGE not in self._objective.allow:
            return None
        if self._desired.start is not None and self._desired.start.auto_converge is not None:
            progress = self._situation.progress
            pressing = progress is None or (progress.throttle or 0) < FULL_THROTTLE
            return self._until_deadline("auto-converge presses harder") if pressing else None
        again = restart(StartOptions(auto_converge=THROTTLES[self._objective.throttle]))
        if self._was_done(again) or not self._has_time_for_a_first_pass:
            return None
        return self._move(again, why)

    @property
    def _has_time_for_a_first_pass(self) -> bool:
        passes = self._situation.passes
        if self._deadline is None or not passes:
            return True
        return self._begin(passes[-1]) + passes[0].elapsed < self._deadline.at

    def _overdue(self, deadline: Deadline, seen: Trend | None) -> Outlook:
        """The deadline has passed: what ends it for certain, unless it is about to end by itself.

        Not before the first pass is over: all memory must be sent once, whatever is done.
        """
        arrives = self._arrives(seen)
        if arrives is not None and arrives <= deadline.soon_after and self._now < deadline.soon_after:
            return Outlook(check_again=deadline.soon_after)
        last = self._at_the_deadline()
        if last is None:
            return Outlook()
        if seen is None and last.name != ActionName.ABORT:
            return Outlook(next_action=f"{last.name} after the first pass")
        return self._move(last, f"{deadline} is over" + (f" ({seen})" if seen else ""))

    def _arrives(self, seen: Trend | None) -> datetime | None:
        """When it will fit, or the first pass will be over; None: not to be expected, or not known."""
        if seen is not None:
            arrives = seen.arrives(self._granted)
            return None if arrives is None else self._attempt.start + arrives
        progress = self._situation.progress
        left = time_to_send(progress) if progress is not None and progress.memory_pass > 0 else None
        return None if progress is None or left is None else self._attempt.start + progress.elapsed + left

    def _at_the_deadline(self) -> Action | None:
        return Action(name=ActionName.SWITCH_TO_POST_COPY) if self._has_post_copy() else self._last_resort()

    def _last_resort(self) -> Action | None:
        suspend = Action(name=ActionName.SUSPEND)
        if self._desired.suspend:
            return None
        if Technique.SUSPEND in self._objective.allow and not self._was_refused(suspend):
            return suspend
        return Action(name=ActionName.ABORT) if self._objective.otherwise == Otherwise.ABORT else None

    def _has_post_copy(self) -> bool:
        return (
            Technique.POST_COPY in self._objective.allow
            and self._desired.post_copy_allowed
            and not self._was_refused(Action(name=ActionName.SWITCH_TO_POST_COPY))
        )

    def _was_refused(self, action: Action) -> bool:
        return self._recorded(action, records.refused)

    def _was_done(self, action: Action) -> bool:
        return self._recorded(action, lambda _: True)

    def _recorded(self, action: Action, counts: Callable[[StepRecord], bool]) -> bool:
        return any(records.action(step) == action and counts(step) for step in self._steps)

    def _will_fit(self, seen: Trend, granted: timedelta) -> bool:
        passes = self._situation.passes
        return arrival_in_time(seen, granted, passes, self._attempt, self._deadline) is not None

    def _move(self, action: Action, trigger: str) -> Outlook:
        share = self._desired.share
        at_share = f", at a share of {format_quantity(share)}" if share is not None else ""
        return Outlook(move=Move(action=action, trigger=trigger + at_share))

    def _until_deadline(self, next_action: str | None = None, *, at: datetime | None = None) -> Outlook:
        """Nothing now; the next report may change it, and the deadline will."""
        if self._deadline is None:
            return Outlook(check_again=at, next_action=next_action, next_time=at)
        again = self._deadline.at if at is None else min(at, self._deadline.at)
        if next_action is not None:
            return Outlook(check_again=again, next_action=next_action, next_time=at)
        last = self._at_the_deadline()
        if last is None:
            return Outlook(check_again=again)
        return Outlook(check_again=again, next_action=f"{last.name} if not done by then", next_time=again)
