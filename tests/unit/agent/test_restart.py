"""Attempts that are given up for another one with other start options, and what may come in between."""

from datetime import timedelta
from itertools import groupby

import pytest
from desired_parameters import desired
from scripted_hypervisor import domain, sample
from source_setting import NOW, READY, outcome

from vmferry_agent.hypervisor.port import HypervisorError, HypervisorUnreachable, MigrationAborted
from vmferry_agent.migrations import source
from vmferry_api.migrations import (
    Attempt,
    AttemptOutcome,
    DesiredState,
    MigrationTechnique,
    Phase,
    Progress,
    VMMigrationStatus,
    VMReport,
    VMState,
)
from vmferry_api.policies import AutoConverge, StartOptions

OPEN = VMMigrationStatus(attempts=[Attempt(number=1, start=NOW)], desired=desired())
RESTARTED = Attempt(number=1, start=NOW, end=NOW, outcome=AttemptOutcome.RESTARTED)
BETWEEN = VMMigrationStatus(attempts=[RESTARTED])
THROTTLED = StartOptions(auto_converge=AutoConverge(initial=90, increment=9))


def again(**changes):
    plain = desired(revision=2, attempt=2, start=THROTTLED, reason="step 3: restart")
    return plain.replace(**changes)


def in_post_copy(status):
    return status.source and status.source.vm.reason == "PostCopy"


def first_outcome(status):
    return status.attempts[0].outcome if status.attempts else None


def outcomes(status):
    return [(attempt.number, attempt.outcome) for attempt in status.attempts]


async def test_a_restart_ends_the_attempt_and_begins_the_next_with_the_new_options(setting):
    it = setting()
    it.want(desired())
    await it.reports(lambda status: status.progress)
    it.want(again())
    seen = await it.reports(lambda status: len(status.attempts) == 2 and status.applied.attempt == 2)
    assert outcomes(seen) == [(1, AttemptOutcome.RESTARTED), (2, None)]
    assert seen.attempts[0].error == "restarted: step 3: restart"
    assert [request.options for request in it.hypervisor.starts] == [StartOptions(), THROTTLED]
    assert seen.applied.revision == 2


async def test_the_next_attempt_begins_at_once(setting, monkeypatch):
    monkeypatch.setattr(source, "LOOK_AT_VM", timedelta(hours=1))
    it = setting()
    it.want(desired())
    await it.reports(lambda status: status.progress)
    it.want(again())
    await it.reports(lambda status: len(status.attempts) == 2)


async def test_what_was_in_force_in_the_last_attempt_is_set_again_in_the_next(setting):
    it = setting()
    it.want(desired())
    await it.reports(lambda status: status.applied)
    it.want(again())
    await it.reports(lambda status: status.applied.attempt == 2)
    started = [name for name, *_ in it.hypervisor.asked].index("migrate", 2)
    assert ("set_max_downtime", timedelta(milliseconds=100)) in it.hypervisor.asked[started:]


async def test_the_next_attempt_s_stalling_and_passes_begin_anew(setting):
    it = setting()
    it.want(desired())
    await it.reports(lambda status: status.progress)
    it.hypervisor.job = sample(memory_pass=7, needed=400)
    await it.reports(lambda status: status.progress.memory_pass == 7)
    it.want(again())
    seen = await it.reports(lambda status: len(status.attempts) == 2 and status.progress)
    assert [(each.memory_pass, each.needed_downtime) for each in seen.progress.recent] == [
        (2, timedelta(seconds=1))
    ]


async def test_the_numbers_are_the_operator_s_not_a_count(setting):
    it = setting(before=VMMigrationStatus(attempts=[RESTARTED.replace(number=7)]))
    it.want(desired(attempt=9))
    assert outcomes(await it.reports(lambda status: status.progress)) == [
        (7, AttemptOutcome.RESTARTED),
        (9, None),
    ]


async def test_only_the_newest_hundred_attempts_are_kept(setting):
    before = [RESTARTED.replace(number=number) for number in range(1, 101)]
    it = setting(before=VMMigrationStatus(attempts=before))
    it.want(desired(attempt=101))
    seen = await it.reports(lambda status: status.progress)
    assert [attempt.number for attempt in seen.attempts] == list(range(2, 102))


@pytest.mark.parametrize("number", [1, 2])
async def test_an_attempt_that_is_over_is_not_begun_again(setting, number):
    it = setting(before=VMMigrationStatus(attempts=[RESTARTED.replace(number=2)]))
    it.want(desired(attempt=number))
    await it.reports(lambda status: status.source)
    await it.close()
    assert it.hypervisor.starts == []


async def test_a_migration_that_completes_before_the_abort_takes_effect_has_completed(setting):
    it = setting()
    it.hypervisor.refuse["abort"] = HypervisorError("no job (libvirt error 55)")
    it.want(desired())
    await it.reports(lambda status: status.progress)
    it.want(again())
    await it.asks("abort")
    it.hypervisor.leave()
    await it.reports(outcome)
    it.want(again(revision=3))
    await it.looks_at_vm()
    assert outcomes(it.reported) == [(1, AttemptOutcome.COMPLETED)]


async def test_a_migration_that_fails_before_the_abort_takes_effect_has_failed_and_the_next_begins(setting):
    it = setting()
    it.hypervisor.refuse["abort"] = HypervisorError("no job (libvirt error 55)")
    it.want(desired())
    await it.reports(lambda status: status.progress)
    it.want(again())
    await it.asks("abort")
    it.hypervisor.fail(HypervisorError("broken pipe (libvirt error 9)"))
    seen = await it.reports(lambda status: len(status.attempts) == 2 and status.progress)
    assert (seen.attempts[0].outcome, seen.attempts[0].error) == (
        AttemptOutcome.FAILED,
        "broken pipe (libvirt error 9)",
    )
    assert [request.options for request in it.hypervisor.starts][1:] == [THROTTLED]


async def test_an_abort_that_was_accepted_but_came_too_late_hides_no_failure(setting):
    it = setting()
    it.want(desired())
    await it.reports(lambda status: status.progress)

    async def accept(uuid):
        await it.hypervisor.note("abort")
        it.hypervisor.fail(HypervisorError("no certificates (libvirt error 1)"))

    it.hypervisor.abort = accept
    it.want(again())
    seen = await it.reports(lambda status: len(status.attempts) == 2)
    assert seen.attempts[0].outcome == AttemptOutcome.FAILED


async def test_a_guest_that_died_meanwhile_was_not_restarted(setting):
    it = setting()
    it.want(desired())
    await it.reports(lambda status: status.progress)
    it.hypervisor.refuse["abort"] = HypervisorUnreachable("timeout")
    it.want(again())
    await it.asks("abort")
    it.hypervisor.domain = domain(VMState.SHUT_OFF, "Crashed")
    it.hypervisor.fail(MigrationAborted("aborted"))
    seen = await it.reports(first_outcome)
    assert seen.attempts[0].outcome == AttemptOutcome.FAILED
    assert "Crashed" in seen.attempts[0].error


async def test_parameters_of_the_next_attempt_are_not_set_in_the_one_that_is_given_up(setting):
    it = setting()
    it.want(desired())
    await it.reports(lambda status: status.applied)
    it.hypervisor.refuse["abort"] = HypervisorError("not yet (libvirt error 55)")
    it.want(again(max_downtime=timedelta(seconds=5)))
    await it.asks("abort")
    await it.looks()
    assert ("set_max_downtime", timedelta(seconds=5)) not in it.hypervisor.asked
    assert (it.reported.applied.revision, it.reported.applied.attempt) == (1, 1)


@pytest.mark.parametrize(
    ("end", "recorded"),
    [
        (lambda it: it.want(cancel=True), AttemptOutcome.CANCELLED),
        (lambda it: it.delete(), AttemptOutcome.CANCELLED),
        (lambda it: it.want(again(revision=3, state=DesiredState.ABORT)), AttemptOutcome.ABORTED),
    ],
    ids=["cancel", "deletion", "abort"],
)
async def test_an_end_that_is_wanted_while_a_restart_is_under_way_wins(setting, end, recorded):
    it = setting()
    it.want(desired())
    await it.reports(lambda status: status.progress)
    refused = HypervisorError("not yet (libvirt error 55)")
    it.hypervisor.refuse["abort"] = refused
    it.want(again())
    await it.asks("abort")
    end(it)
    await it.looks()
    del it.hypervisor.refuse["abort"]
    await it.reports(outcome)
    await it.looks_at_vm()
    assert outcomes(it.reported) == [(1, recorded)]
    assert len(it.hypervisor.starts) == 1


@pytest.mark.parametrize(
    ("wanted", "recorded"),
    [
        ({"wanted": again(), "cancel": True}, AttemptOutcome.CANCELLED),
        ({"wanted": again(state=DesiredState.ABORT)}, AttemptOutcome.ABORTED),
    ],
    ids=["cancel", "abort"],
)
async def test_between_two_attempts_an_end_that_is_wanted_keeps_the_next_from_starting(
    setting, wanted, recorded
):
    it = setting(before=BETWEEN)
    it.want(**wanted)
    seen = await it.reports(lambda status: outcome(status) == recorded)
    assert outcomes(seen) == [(1, AttemptOutcome.RESTARTED), (2, recorded)]
    assert it.hypervisor.starts == []


async def test_between_two_attempts_a_terminal_phase_ends_it(setting):
    it = setting(before=BETWEEN)
    it.want(again(), phase=Phase.FAILED)
    await it.over()
    assert it.hypervisor.asked == []


async def test_a_restart_that_is_wanted_while_an_attempt_is_written_down_starts_the_later_one_only(setting):
    it = setting()
    await it.reports(lambda status: status.source)
    it.may_write.clear()
    it.want(desired())
    while not (await it.writing.get()).attempts:
        pass
    it.want(again())
    it.may_write.set()
    seen = await it.reports(lambda status: len(status.attempts) == 2 and status.progress)
    assert outcomes(seen) == [(1, AttemptOutcome.RESTARTED), (2, None)]
    assert [request.options for request in it.hypervisor.starts] == [THROTTLED]


async def test_a_restart_that_was_ordered_while_the_agent_was_away_is_made(setting):
    it = setting(before=OPEN)
    it.hypervisor.run_job()
    it.want(again())
    seen = await it.reports(lambda status: len(status.attempts) == 2 and status.progress)
    assert outcomes(seen) == [(1, AttemptOutcome.RESTARTED), (2, None)]
    assert [name for name, *_ in it.hypervisor.asked if name in {"abort", "migrate"}] == ["abort", "migrate"]


async def test_an_agent_that_died_after_the_abort_begins_the_next_attempt(setting):
    it = setting(before=OPEN)
    it.want(again())
    seen = await it.reports(lambda status: len(status.attempts) == 2 and status.progress)
    assert outcomes(seen) == [(1, AttemptOutcome.RESTARTED), (2, None)]
    assert not it.hypervisor.was_asked("abort")


async def test_the_next_attempt_waits_until_the_aborted_one_is_cleaned_up(setting):
    it = setting(before=OPEN)
    it.hypervisor.cleaning_up = True
    it.want(again())
    await it.looks(5)
    assert outcomes(it.reported) in ([], [(1, None)])
    assert it.hypervisor.starts == []
    it.hypervisor.cleaning_up = False
    seen = await it.reports(lambda status: len(status.attempts) == 2)
    assert seen.attempts[0].outcome == AttemptOutcome.RESTARTED


async def test_a_migration_that_completed_while_the_agent_was_away_is_not_restarted(setting):
    it = setting(before=OPEN, target=READY.replace(vm=VMReport(state=VMState.RUNNING, reason="Migrated")))
    it.hypervisor.domain = None
    it.want(again())
    await it.reports(outcome)
    await it.looks_at_vm()
    assert outcomes(it.reported) == [(1, AttemptOutcome.COMPLETED)]


async def test_post_copy_is_not_restarted_but_goes_on_with_its_own_parameters(setting):
    it = setting()
    it.want(desired(technique=MigrationTechnique.POST_COPY, post_copy_allowed=True))
    await it.reports(in_post_copy)
    it.want(again(post_copy_allowed=True, post_copy_bandwidth=5 * 2**20))
    seen = await it.reports(lambda status: status.applied and status.applied.revision == 2)
    assert seen.applied.attempt == 1
    assert ("set_post_copy_bandwidth", 5 * 2**20) in it.hypervisor.asked
    it.hypervisor.leave()
    await it.reports(outcome)
    await it.looks_at_vm()
    assert outcomes(it.reported) == [(1, AttemptOutcome.COMPLETED)]
    assert not it.hypervisor.was_asked("abort")


@pytest.mark.parametrize(
    "end", [lambda it: it.want(again()), lambda it: it.want(cancel=True)], ids=["restart", "cancel"]
)
async def test_a_migration_that_is_just_switching_to_post_copy_is_not_aborted(setting, end):
    it = setting()

    async def order_only(uuid):
        await it.hypervisor.note("start_post_copy")

    it.hypervisor.start_post_copy = order_only
    it.want(desired(technique=MigrationTechnique.POST_COPY))
    await it.asks("start_post_copy")
    end(it)
    await it.looks()
    assert not it.hypervisor.was_asked("abort")


async def test_a_guest_that_was_suspended_runs_between_two_attempts(setting):
    it = setting()
    it.want(desired())
    await it.reports(lambda status: status.progress)
    it.want(desired(revision=2, suspend=True))
    await it.reports(lambda status: status.applied.revision == 2)
    it.want(again(revision=3))
    await it.reports(lambda status: status.applied.attempt == 2)
    names = [name for name, *_ in it.hypervisor.asked if name in {"suspend", "abort", "resume", "migrate"}]
    assert [name for name, _ in groupby(names)] == ["migrate", "suspend", "abort", "resume", "migrate"]


async def test_a_switch_that_was_taken_back_is_not_made_and_post_copy_is_not_taken_back(setting):
    it = setting()
    it.hypervisor.refuse["start_post_copy"] = HypervisorError("not yet (libvirt error 55)")
    it.want(desired(technique=MigrationTechnique.POST_COPY))
    await it.reports(lambda status: status.applied)
    del it.hypervisor.refuse["start_post_copy"]
    it.want(desired(revision=2))
    await it.reports(lambda status: status.applied.revision == 2)
    assert [name for name, *_ in it.hypervisor.asked].count("start_post_copy") == 1
    it.want(desired(revision=3, technique=MigrationTechnique.POST_COPY))
    await it.reports(in_post_copy)
    before = len(it.hypervisor.asked)
    it.want(desired(revision=4))
    await it.reports(lambda status: status.applied.revision == 4)
    assert it.hypervisor.asked[before:] == []


async def test_what_is_known_of_the_passes_survives_the_agent(setting):
    passed = sample(memory_pass=4, needed=700)
    told = Progress.model_validate(
        {
            "percent": 50,
            "pass": 3,
            "remaining": 1,
            "transferred": 1,
            "total": 2,
            "elapsed": "9s",
            "recent": [
                {"pass": 2, "elapsed": "5s", "neededDowntime": "900ms"},
                {"pass": 3, "elapsed": "9s", "neededDowntime": "800ms"},
            ],
        }
    )
    it = setting(before=OPEN.replace(progress=told))
    it.hypervisor.job = passed
    seen = await it.reports(lambda status: status.progress and status.progress.memory_pass == 4)
    assert [each.memory_pass for each in seen.progress.recent] == [2, 3, 4]
