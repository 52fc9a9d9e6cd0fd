"""An attempt that an earlier process of the agent has begun: what is known of it is not begun anew."""

from datetime import UTC, datetime, timedelta

import pytest
from desired_parameters import desired
from scripted_hypervisor import ScriptedHypervisor, sample
from source_setting import NOW, READY, outcome

from vmferry_agent.decisions.convergence import Convergence
from vmferry_agent.decisions.ramp import ramp_downtime, reached_after
from vmferry_agent.decisions.resumption import resumed
from vmferry_agent.hypervisor.port import HypervisorError
from vmferry_api.conditions import Condition, ConditionType, Status, find_condition
from vmferry_api.migrations import (
    Applied,
    Attempt,
    AttemptOutcome,
    MigrationTechnique,
    Progress,
    VMMigrationStatus,
    VMReport,
    VMState,
)
from vmferry_api.policies import DowntimeRamp

GIB = 2**30
OPEN = VMMigrationStatus(attempts=[Attempt(number=1, start=NOW)], desired=desired())
RAMP = DowntimeRamp(max=timedelta(milliseconds=500), steps=5)


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


def told(*passes: tuple[int, float, int], now: int | None = None, limit: int | None = None) -> Progress:
    """A report of passes: number, seconds since the start, needed downtime in milliseconds."""
    return Progress.model_validate(
        {
            "percent": 50,
            "pass": now or (passes[-1][0] if passes else 1),
            "remaining": 2**20,
            "transferred": 2**30,
            "total": 2**30,
            "elapsed": "60s",
            "maxDowntime": limit and f"{limit}ms",
            "neededDowntime": f"{passes[-1][2]}ms" if passes else None,
            "recent": [
                {"pass": number, "elapsed": f"{round(at * 1000)}ms", "neededDowntime": f"{needed}ms"}
                for number, at, needed in passes
            ],
        }
    )


def under_way(
    *,
    age: float = 60,
    progress: Progress | None = None,
    stalling: float | None = None,
    reason: str = "NotConverging",
    **wanted: object,
) -> VMMigrationStatus:
    """An attempt that began so many seconds ago; its parameters were applied then."""
    now = datetime.now(UTC)
    order = desired(**wanted)
    stalls = Condition(
        type=ConditionType.MIGRATION_STALLING,
        status=Status.TRUE,
        reason=reason,
        last_transition_time=now - seconds(stalling or 0),
    )
    return VMMigrationStatus(
        attempts=[Attempt(number=1, start=now - seconds(age))],
        desired=order,
        applied=Applied(revision=order.revision, attempt=1, time=now - seconds(age)),
        progress=progress,
        conditions=[stalls] if stalling is not None else [],
    )


def resumed_from(
    progress: Progress | None, *, now: float, stalling_since: float | None = None
) -> Convergence:
    return resumed(progress, began_at=100, now=100 + now, stalling_since=stalling_since, limit=seconds(10))


def test_the_best_and_when_it_was_found_follow_from_the_passes_that_are_told():
    found = resumed_from(told((2, 1, 1000), (3, 2, 900), (4, 3, 890)), now=9)
    assert (found.best, found.standstill.best_at, found.best_pass) == (seconds(0.9), 102, 3)
    assert (found.progress_at, found.memory_pass) == (109, 4)


def test_it_has_not_got_on_since_the_third_pass_that_brought_nothing():
    found = resumed_from(told((2, 1, 900), (3, 2, 950), (4, 4, 940), (5, 6, 940), (6, 8, 940)), now=60)
    assert (found.best_pass, found.progress_at) == (2, 106)


def test_what_was_called_stalling_goes_on_stalling_for_as_long():
    passes = [(number, number, 1000 + number % 2 * 100) for number in range(50, 62)]
    found = resumed_from(told(*passes), now=62, stalling_since=120)
    assert (found.standstill.best_at, found.progress_at) == (110, 120)
    assert found.stalling(seconds(50), now=162)


@pytest.mark.parametrize("progress", [None, told()])
def test_what_is_not_told_begins_anew(progress):
    found = resumed_from(progress, now=60, stalling_since=120)
    assert (found.best, found.progress_at) == (None, 160)


@pytest.mark.parametrize("step", range(5))
def test_the_ramp_goes_on_from_what_it_has_granted(step):
    since = timedelta(seconds=20) * step
    granted = ramp_downtime(RAMP, GIB, since)
    assert reached_after(RAMP, GIB, granted) == since
    assert reached_after(RAMP, GIB, seconds(9)) == seconds(80)


async def test_a_restarted_agent_does_not_lower_what_the_ramp_has_granted(setting):
    granted = ramp_downtime(RAMP, GIB, seconds(45))
    before = under_way(
        progress=told((2, 10, 1000), limit=round(granted / timedelta(milliseconds=1))),
        max_downtime=None,
        agent_downtime_ramp=RAMP,
    )
    it = setting(before=before)
    it.hypervisor.run_job()
    await it.asks("set_max_downtime")
    assert it.hypervisor.asked == [("set_max_downtime", granted)]
    await it.looks()
    assert it.reported.progress.max_downtime == granted


async def test_a_restarted_agent_goes_on_calling_it_stalling(setting):
    before = under_way(progress=told(*((n, n, 1000) for n in range(40, 50))), stalling=30)
    it = setting(before=before)
    it.hypervisor.job = sample(memory_pass=51)
    await it.reports(lambda status: status.progress and status.progress.memory_pass == 51)
    await it.looks()
    now, then = (
        find_condition(each.conditions, ConditionType.MIGRATION_STALLING) for each in (it.reported, before)
    )
    assert now == then


async def test_a_restarted_agent_does_not_call_hopeless_what_a_silent_link_has_stopped(setting):
    passes = [(2, 16, 1000), (3, 24, 800), (4, 32, 600), (5, 40, 400)]
    before = under_way(progress=told(*passes), stalling=12, reason="LinkSilent")
    it = setting(before=before)
    it.hypervisor.job = sample(memory_pass=5, needed=400, sent=2**30)
    await it.looks(5)
    while not it.writing.empty():
        said = find_condition(it.writing.get_nowait().conditions, ConditionType.MIGRATION_STALLING)
        assert (said.status, said.reason) == ("True", "LinkSilent")
    it.hypervisor.job = sample(memory_pass=5, needed=400, sent=2**31)
    await it.reports(
        lambda status: find_condition(status.conditions, ConditionType.MIGRATION_STALLING).status == "False"
    )


async def test_a_restarted_agent_counts_the_time_without_progress_from_when_it_began(setting):
    before = under_way(
        progress=told(*((n, n, 1000) for n in range(40, 50))), stalling=52, progress_timeout=seconds(50)
    )
    it = setting(before=before)
    it.hypervisor.job = sample(memory_pass=51)
    done = await it.reports(outcome)
    assert done.attempts[-1].error.startswith("progressTimeout")


async def test_the_limit_for_which_the_earlier_process_has_aborted_is_not_forgotten(setting):
    earlier = setting()
    earlier.hypervisor.refuse["abort"] = HypervisorError("not yet (libvirt error 55)")
    earlier.want(desired(progress_timeout=timedelta(milliseconds=50)))
    await earlier.asks("abort")
    await earlier.looks()
    it = setting(before=earlier.reported.replace(desired=desired(), attempts=under_way().attempts))
    done = await it.reports(outcome)
    assert outcome(done) == AttemptOutcome.ABORTED
    assert done.attempts[-1].error.startswith("progressTimeout")


async def test_what_was_carried_out_is_not_reported_as_new(setting):
    before = under_way()
    it = setting(before=before)
    it.hypervisor.run_job()
    await it.reports(lambda status: status.progress)
    await it.looks()
    assert it.reported.applied == before.applied


async def test_an_order_to_switch_that_the_earlier_process_may_have_given_is_guarded(setting):
    before = under_way(technique=MigrationTechnique.POST_COPY, post_copy_allowed=True)
    it = setting(before=before)

    async def say_nothing(uuid):
        await it.hypervisor.note("start_post_copy")

    it.hypervisor.start_post_copy = say_nothing
    it.hypervisor.run_job()
    it.want(cancel=True)
    await it.looks(5)
    assert not it.hypervisor.was_asked("abort")


async def test_a_call_that_libvirt_has_not_got_to_yet_is_waited_for(setting):
    it = setting(before=under_way(age=1))
    await it.looks(3)
    assert outcome(it.reported) is None
    it.hypervisor.run_job()
    await it.reports(lambda status: status.progress)
    it.hypervisor.job = None
    assert outcome(await it.reports(outcome)) == AttemptOutcome.FAILED


async def test_a_vm_that_died_after_the_restart_has_not_moved(setting):
    it = setting(before=under_way())
    it.hypervisor.run_job()
    await it.reports(lambda status: status.progress)
    it.hypervisor.figures = None
    it.hypervisor.leave()
    assert outcome(await it.reports(outcome)) == AttemptOutcome.FAILED


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (VMReport(state=VMState.RUNNING, reason="Migrated"), AttemptOutcome.COMPLETED),
        (VMReport(state=VMState.RUNNING, reason="PostCopy"), AttemptOutcome.FAILED),
        (VMReport(state=VMState.ABSENT), AttemptOutcome.FAILED),
        (None, AttemptOutcome.FAILED),
    ],
)
async def test_a_vm_that_is_gone_when_the_agent_comes_has_moved_only_where_the_target_runs_it_whole(
    setting, there, expected
):
    it = setting(before=OPEN, target=READY.replace(vm=there), hypervisor=Empty())
    assert outcome(await it.reports(outcome)) == expected


class Empty(ScriptedHypervisor):
    """Has no domain."""

    def __init__(self):
        super().__init__()
        self.domain = None
