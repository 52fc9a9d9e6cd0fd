"""The source role over a scripted hypervisor: what is asked of it, and what is reported."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from desired_parameters import desired
from scripted_hypervisor import UUID, ScriptedHypervisor, domain, sample
from source_setting import NOW, MovedClock, outcome

from vmferry_agent.decisions.standstill import LASTING
from vmferry_agent.hypervisor.port import (
    HypervisorError,
    HypervisorUnreachable,
    MigrationRunsAlready,
    Sample,
)
from vmferry_agent.migrations import slow_answers
from vmferry_api.conditions import ConditionType, find_condition
from vmferry_api.migrations import (
    Attempt,
    AttemptOutcome,
    DesiredState,
    MigrationTechnique,
    Phase,
    TargetReport,
    VMMigrationStatus,
    VMReport,
    VMState,
)
from vmferry_api.policies import Compression, CompressionMethod, StartOptions


def stalling(status: VMMigrationStatus, value: str) -> bool:
    found = find_condition(status.conditions, ConditionType.MIGRATION_STALLING)
    return found is not None and found.status == value


async def test_the_vm_is_described_before_anything_is_wanted(setting):
    seen = await setting().reports(lambda status: status.source)
    assert (seen.source.vm.uuid, seen.source.vm.state, seen.source.qemu_version) == (
        UUID,
        VMState.RUNNING,
        "7.2.0",
    )
    assert seen.attempts == []


async def test_an_unknown_vm_is_reported_absent(setting):
    it = setting()
    it.hypervisor.domain = None
    seen = await it.reports(lambda status: status.source)
    assert seen.source.vm.state == VMState.ABSENT
    assert "node-a has no domain db-1" in seen.source.message


def copying_disks() -> Sample:
    return replace(
        sample(memory_pass=0), disk_total=2**30, disk_transferred=2**20, disk_remaining=2**30 - 2**20
    )


async def test_post_copy_that_is_wanted_while_disks_are_copied_is_switched_to_once_memory_flows(setting):
    """QEMU refuses it before: "Postcopy must be started after migration has been started"."""
    it = setting()
    it.want(desired(post_copy_allowed=True))
    await it.asks("migrate")
    it.hypervisor.job = copying_disks()
    await it.reports(lambda status: status.progress and status.progress.disk)
    it.want(desired(revision=2, post_copy_allowed=True, technique=MigrationTechnique.POST_COPY))
    await it.looks()
    assert not it.hypervisor.was_asked("start_post_copy")
    it.hypervisor.job = sample(memory_pass=1)
    await it.asks("start_post_copy")
    seen = await it.reports(lambda status: status.applied and status.applied.revision == 2)
    assert seen.applied.errors == []


async def test_a_migration_that_copies_disks_can_be_aborted(setting):
    it = setting()
    it.want(desired())
    await it.asks("migrate")
    it.hypervisor.job = copying_disks()
    await it.looks()
    it.want(cancel=True)
    assert outcome(await it.reports(outcome)) == AttemptOutcome.CANCELLED


async def test_disks_that_were_copied_are_reported_as_whole_at_the_end(setting):
    it = setting()
    it.want(desired())
    await it.asks("migrate")
    it.hypervisor.job = copying_disks()
    await it.reports(lambda status: status.progress and status.progress.disk)
    it.hypervisor.leave()
    disk = (await it.reports(outcome)).progress.disk
    assert (disk.total, disk.transferred, disk.remaining) == (2**30, 2**30, 0)


async def test_another_compression_cache_is_set_in_flight(setting):
    it = setting()
    xbzrle = StartOptions(compression=Compression(method=CompressionMethod.XBZRLE, cache_size=2**26))
    it.want(desired(start=xbzrle, compression_cache=2**26))
    await it.reports(lambda status: status.applied)
    assert not it.hypervisor.was_asked("set_compression_cache")
    it.want(desired(revision=2, start=xbzrle, compression_cache=2**27))
    await it.reports(lambda status: status.applied and status.applied.revision == 2)
    assert ("set_compression_cache", 2**27) in it.hypervisor.asked


async def test_an_attempt_is_written_down_before_libvirt_is_asked(setting):
    it = setting()
    await it.reports(lambda status: status.source)
    it.may_write.clear()
    it.want(desired())
    while not (await it.writing.get()).attempts:
        pass
    for _ in range(100):
        await asyncio.sleep(0)
    assert it.hypervisor.asked == []
    it.may_write.set()
    await it.asks("migrate")


async def test_a_completed_migration_is_reported_with_its_real_downtime(setting):
    it = setting()
    it.want(desired())
    await it.reports(lambda status: status.progress)
    it.hypervisor.leave()
    done = await it.reports(outcome)
    assert outcome(done) == AttemptOutcome.COMPLETED
    assert done.attempts[-1].downtime == timedelta(milliseconds=95)
    assert (done.progress.percent, done.progress.remaining) == (100, 0)
    assert done.source.vm.state == VMState.ABSENT


async def test_a_new_revision_is_applied_and_answered(setting):
    it = setting()
    it.want(desired())
    await it.reports(lambda status: status.applied)
    it.want(desired(revision=2, max_downtime=timedelta(seconds=2)))
    seen = await it.reports(lambda status: status.applied and status.applied.revision == 2)
    assert seen.applied.errors == []
    assert it.hypervisor.asked[-1] == ("set_max_downtime", timedelta(seconds=2))


async def test_what_the_host_refuses_is_reported_and_does_not_stop_the_rest(setting):
    it = setting()
    it.hypervisor.refuse["set_bandwidth"] = HypervisorError("numerical overflow (libvirt error 82)")
    it.want(desired())
    await it.reports(lambda status: status.applied)
    it.want(desired(revision=2, bandwidth=1, suspend=True))
    seen = await it.reports(lambda status: status.applied and status.applied.revision == 2)
    assert [(error.parameter, error.message) for error in seen.applied.errors] == [
        ("bandwidth", "numerical overflow (libvirt error 82)")
    ]
    assert it.hypervisor.was_asked("suspend")
    it.hypervisor.job = sample(memory_pass=5)
    await it.reports(lambda status: status.progress.memory_pass == 5)
    assert it.hypervisor.asked.count(("set_bandwidth", 1)) == 1


CANCELS = {
    "spec.cancel": ({"cancel": True}, AttemptOutcome.CANCELLED),
    "a terminal phase": ({"phase": Phase.FAILED}, AttemptOutcome.ABORTED),
    "the step abort": ({"wanted": desired(revision=2, state=DesiredState.ABORT)}, AttemptOutcome.ABORTED),
}


@pytest.mark.parametrize(("change", "expected"), CANCELS.values(), ids=CANCELS)
async def test_a_running_migration_is_aborted(setting, change, expected):
    it = setting()
    it.want(desired())
    await it.reports(lambda status: status.progress)
    it.want(**change)
    assert outcome(await it.reports(outcome)) == expected
    assert it.hypervisor.was_asked("abort")


async def test_a_migration_cancelled_before_its_start_is_never_started(setting):
    it = setting()
    it.want(desired(), cancel=True)
    assert outcome(await it.reports(outcome)) == AttemptOutcome.CANCELLED
    assert not it.hypervisor.was_asked("migrate")


async def test_an_end_that_was_written_before_the_attempt_keeps_it_from_starting(setting):
    it = setting()
    await it.reports(lambda status: status.source)
    it.may_write.clear()
    it.want(desired())
    while not (await it.writing.get()).attempts:
        pass
    it.want(phase=Phase.CANCELLED)  # what the write of the attempt returns
    it.may_write.set()
    assert outcome(await it.reports(outcome)) == AttemptOutcome.ABORTED
    assert not it.hypervisor.was_asked("migrate")


async def test_without_progress_the_agent_gives_up_by_itself(setting):
    it = setting()
    it.want(desired(progress_timeout=timedelta(milliseconds=50)))
    done = await it.reports(outcome)
    assert outcome(done) == AttemptOutcome.ABORTED
    assert done.attempts[-1].error.startswith("progressTimeout")


async def test_stalling_is_reported_and_taken_back_once_a_fall_has_lasted(setting):
    clock = MovedClock()
    it = setting(clock=clock)
    it.want(desired(stalling_limit=timedelta(milliseconds=1)))
    await it.reports(lambda status: stalling(status, "False"))
    it.hypervisor.job = sample(memory_pass=9)
    await it.reports(lambda status: stalling(status, "True"))
    it.hypervisor.job = sample(memory_pass=10, needed=500)
    await it.looks()
    assert stalling(it.reported, "True")
    clock.go_on(LASTING)
    it.hypervisor.job = sample(memory_pass=11, needed=500)
    await it.reports(lambda status: stalling(status, "False"))


async def test_it_starts_with_the_lower_of_its_own_cap_and_its_share_and_follows_the_share(setting):
    it = setting()
    it.want(desired(share=20 * 2**20))
    await it.reports(lambda status: status.applied)
    assert it.hypervisor.starts[0].bandwidth == 20 * 2**20
    assert not it.hypervisor.was_asked("set_bandwidth")
    it.want(desired(revision=2, share=70 * 2**20))
    await it.reports(lambda status: status.applied.revision == 2)
    assert it.hypervisor.asked[-1] == ("set_bandwidth", 50 * 2**20)


async def test_a_share_that_is_refused_is_told_as_the_bandwidth(setting):
    it = setting()
    it.hypervisor.refuse["set_bandwidth"] = HypervisorError("no (libvirt error 1)")
    it.want(desired())
    await it.reports(lambda status: status.applied)
    it.want(desired(revision=2, share=2**20))
    seen = await it.reports(lambda status: status.applied.revision == 2)
    assert [error.parameter for error in seen.applied.errors] == ["bandwidth"]


async def test_what_was_refused_before_the_host_fell_silent_is_told_afterwards(setting):
    it = setting()
    it.want(desired())
    await it.reports(lambda status: status.applied)
    it.hypervisor.refuse["set_bandwidth"] = HypervisorError("no (libvirt error 1)")
    it.hypervisor.refuse["suspend"] = HypervisorUnreachable("timeout")
    it.want(desired(revision=2, bandwidth=2**20, suspend=True))
    await it.asks("suspend")
    del it.hypervisor.refuse["suspend"]
    seen = await it.reports(lambda status: status.applied.revision == 2)
    assert [error.parameter for error in seen.applied.errors] == ["bandwidth"]
    assert it.hypervisor.asked.count(("set_bandwidth", 2**20)) == 1


async def test_new_shares_by_little_do_not_put_off_stalling(setting):
    it = setting()
    it.want(desired(stalling_limit=timedelta(milliseconds=1), share=40 * 2**20))
    await it.reports(lambda status: status.applied)
    it.hypervisor.job = sample(memory_pass=9)
    await it.reports(lambda status: stalling(status, "True"))
    for revision, (share, told) in enumerate([(42, "True"), (41, "True"), (20, "False")], start=2):
        it.want(desired(revision=revision, stalling_limit=timedelta(milliseconds=1), share=share * 2**20))
        await it.reports(lambda status, revision=revision: status.applied.revision == revision)
        await it.looks()
        assert stalling(it.reported, told)


@pytest.mark.parametrize(
    "refusal", [HypervisorUnreachable("connection lost"), HypervisorUnreachable("no answer within 35 s")]
)
async def test_a_switch_to_post_copy_whose_answer_is_lost_may_have_been_made(setting, refusal):
    it = setting()
    it.want(desired(post_copy_allowed=True))
    await it.reports(lambda status: status.progress)
    it.hypervisor.refuse["start_post_copy"] = refusal
    it.want(desired(revision=2, post_copy_allowed=True, technique=MigrationTechnique.POST_COPY))
    await it.asks("start_post_copy")
    it.want(cancel=True)
    await it.looks()
    assert not it.hypervisor.was_asked("abort")


async def test_nothing_aborts_post_copy(setting):
    it = setting()
    it.want(desired(technique=MigrationTechnique.POST_COPY, progress_timeout=timedelta(milliseconds=20)))
    await it.asks("start_post_copy")
    it.want(cancel=True)
    await it.reports(lambda status: status.source.vm.reason == "PostCopy")
    looks = it.reported.progress
    it.hypervisor.job = sample(sent=5 * 2**20)
    await it.reports(lambda status: status.progress != looks)
    it.hypervisor.leave()
    assert outcome(await it.reports(outcome)) == AttemptOutcome.COMPLETED
    assert not it.hypervisor.was_asked("abort")


async def test_a_guest_that_was_suspended_for_it_and_stayed_runs_again(setting):
    it = setting()
    it.want(desired())
    await it.reports(lambda status: status.progress)
    it.want(desired(revision=2, suspend=True))
    await it.asks("suspend")
    it.want(cancel=True)
    assert outcome(await it.reports(outcome)) == AttemptOutcome.CANCELLED
    assert it.hypervisor.was_asked("resume")


class LostAnswer(ScriptedHypervisor):
    """Pauses the guest, and the first answer to that is lost."""

    async def suspend(self, uuid):
        first = not self.was_asked("suspend")
        await super().suspend(uuid)
        if first:
            raise HypervisorUnreachable("did not answer within 35 s (suspend)")


async def test_a_guest_that_was_suspended_though_the_answer_was_lost_runs_again_where_it_stays(setting):
    it = setting(hypervisor=LostAnswer())
    it.want(desired())
    await it.reports(lambda status: status.applied)
    it.want(desired(revision=2, suspend=True))
    seen = await it.reports(lambda status: status.applied.revision == 2)
    assert seen.attempts[-1].suspended
    it.want(cancel=True)
    await it.asks("resume")
    done = await it.reports(lambda status: outcome(status) and not status.attempts[-1].suspended)
    assert outcome(done) == AttemptOutcome.CANCELLED


async def test_no_attempt_begins_with_a_guest_that_is_paused_for_the_one_before(setting):
    begun = Attempt(number=1, start=NOW, suspended=True)
    hypervisor = ScriptedHypervisor()
    hypervisor.domain = domain(VMState.PAUSED, "User")
    hypervisor.run_job()
    it = setting(
        before=VMMigrationStatus(attempts=[begun], desired=desired(suspend=True)), hypervisor=hypervisor
    )
    await it.reports(lambda status: status.progress)
    it.want(desired(revision=2, attempt=2))
    seen = await it.reports(
        lambda status: "attempt 2 waits until it runs again" in (status.source.message or "")
    )
    assert [each.number for each in seen.attempts] == [1]
    it.target_says(
        TargetReport(ready=True, connect_uri="b", vm=VMReport(state=VMState.ABSENT), after_attempt=1)
    )
    await it.asks("resume")
    seen = await it.reports(lambda status: len(status.attempts) == 2 and status.applied.attempt == 2)
    assert not any(each.suspended for each in seen.attempts)
    assert seen.source.message is None


async def test_a_downtime_that_the_host_refuses_is_not_told_as_granted(setting):
    it = setting()
    it.want(desired(max_downtime=timedelta(milliseconds=100)))
    await it.reports(lambda status: status.applied and status.progress)
    it.hypervisor.refuse["set_max_downtime"] = HypervisorError("no (libvirt error 1)")
    it.want(desired(revision=2, max_downtime=timedelta(milliseconds=900)))
    await it.reports(lambda status: status.applied.revision == 2 and status.applied.errors)
    it.hypervisor.job = sample(memory_pass=3)
    seen = await it.reports(lambda status: status.progress.memory_pass == 3)
    assert seen.progress.max_downtime == timedelta(milliseconds=100)


async def test_with_a_stalling_limit_of_zero_not_even_a_silent_link_is_told_as_stalling(setting):
    it = setting(clock=MovedClock())
    it.want(desired(stalling_limit=timedelta(0)))
    await it.reports(lambda status: status.applied)
    it.source._clock.go_on(60)
    await it.looks(5)
    assert not stalling(it.reported, "True")


async def test_that_libvirt_is_away_is_told_during_an_attempt_too_and_taken_back(setting):
    it = setting(clock=MovedClock())
    it.want(desired())
    await it.reports(lambda status: status.applied)
    away = HypervisorUnreachable("Failed to connect socket (libvirt error 38)")
    it.hypervisor.refuse["look"] = away
    await it.looks(2)
    assert not it.reported.source.unreachable
    it.source._clock.go_on(10)
    seen = await it.reports(lambda status: status.source.unreachable)
    assert seen.source.message == f"libvirt can't be asked: {away}"
    del it.hypervisor.refuse["look"]
    seen = await it.reports(lambda status: not status.source.unreachable)
    assert seen.source.message is None


async def test_a_suspended_guest_that_the_target_may_run_is_left_so_and_told(setting):
    it = setting()
    it.want(desired())
    await it.reports(lambda status: status.progress)
    it.want(desired(revision=2, suspend=True))
    await it.asks("suspend")
    it.hypervisor.fail(HypervisorUnreachable("client socket is closed"))
    done = await it.reports(outcome)
    assert outcome(done) == AttemptOutcome.FAILED
    assert "left so until the target is seen not to run it" in done.attempts[-1].error
    assert not it.hypervisor.was_asked("resume")


async def test_a_guest_that_the_user_had_paused_stays_paused(setting):
    it = setting()
    it.hypervisor.domain = domain(VMState.PAUSED, "User")
    it.want(desired())
    await it.reports(lambda status: status.applied)
    it.want(desired(revision=2, suspend=True))
    await it.reports(lambda status: status.applied and status.applied.revision == 2)
    it.want(cancel=True)
    await it.reports(outcome)
    assert not it.hypervisor.was_asked("resume")


@pytest.mark.parametrize(
    "refusal", [HypervisorError("no (libvirt error 55)"), None], ids=["refused", "withdrawn"]
)
async def test_a_guest_that_was_to_be_suspended_and_was_not_is_never_resumed(setting, refusal):
    it = setting()
    it.want(desired())
    await it.reports(lambda status: status.applied)
    if refusal is not None:
        it.hypervisor.refuse["suspend"] = refusal
        it.want(desired(revision=2, suspend=True))
        await it.asks("suspend")
    else:
        it.may_write.clear()  # it is not on record yet, so that it is not done
        it.want(desired(revision=2, suspend=True))
        await it.looks()
        it.want(desired(revision=3))
        it.may_write.set()
    await it.reports(lambda status: status.applied.revision in {2, 3} and not status.attempts[-1].suspended)
    it.hypervisor.domain = domain(VMState.PAUSED, "User")  # a person does it
    it.want(cancel=True)
    await it.reports(outcome)
    assert not it.hypervisor.was_asked("resume")


async def test_a_cancel_is_tried_though_the_host_does_not_answer_other_questions(setting):
    it = setting()
    it.want(desired())
    await it.reports(lambda status: status.progress)

    async def silent(domain):
        raise HypervisorUnreachable("no answer")

    it.hypervisor.look = silent
    it.want(cancel=True)
    await it.asks("abort")


async def test_a_limit_holds_though_a_parameter_gets_no_answer(setting):
    it = setting()
    it.want(desired())
    await it.reports(lambda status: status.applied)
    it.hypervisor.refuse["set_bandwidth"] = HypervisorUnreachable("no answer")
    it.want(desired(revision=2, bandwidth=1, timeout=timedelta(milliseconds=1)))
    await it.asks("abort")


async def test_how_it_ended_is_told_though_the_host_can_t_be_looked_at_any_more(setting):
    it = setting()
    it.want(desired())
    await it.reports(lambda status: status.progress)

    async def silent(vm):
        raise HypervisorUnreachable("connection lost")

    it.hypervisor.find = silent
    it.hypervisor.fail(HypervisorError("broken pipe (libvirt error 38)"))
    done = await it.reports(outcome)
    assert done.attempts[-1].error == "broken pipe (libvirt error 38)"


async def test_what_is_told_of_the_vm_says_which_end_it_was_seen_after(setting):
    it = setting()
    it.want(desired())
    assert (await it.reports(lambda status: status.progress)).source.after_attempt == 0
    it.hypervisor.fail(HypervisorError("no"))
    assert (await it.reports(outcome)).source.after_attempt == 1
    it.want(desired(revision=2, attempt=2))
    seen = await it.reports(lambda status: len(status.attempts) == 2 and status.progress)
    assert seen.source.after_attempt == 1
    it.hypervisor.leave()
    seen = await it.reports(lambda status: status.attempts[-1].outcome and len(status.attempts) == 2)
    assert (seen.source.vm.state, seen.source.after_attempt) == (VMState.ABSENT, 2)


async def test_a_vm_that_can_t_be_looked_at_after_the_end_is_said_to_be_seen_so_once_it_can(setting):
    it = setting()
    it.want(desired())
    await it.reports(lambda status: status.progress)
    find, answers = it.hypervisor.find, asyncio.Event()

    async def lost(vm):
        if not answers.is_set():
            raise HypervisorUnreachable("no socket")
        return await find(vm)

    it.hypervisor.find = lost
    it.hypervisor.domain = domain(VMState.RUNNING, "MigrationCanceled")
    it.hypervisor.fail(HypervisorError("no"))
    seen = await it.reports(lambda status: outcome(status) and status.source.unreachable)
    assert (seen.source.vm.reason, seen.source.after_attempt) == ("MigrationCanceled", 0)
    answers.set()
    seen = await it.reports(lambda status: status.source.after_attempt == 1)
    assert (seen.source.unreachable, seen.source.message) == (False, None)


async def test_a_libvirt_that_hangs_before_the_start_is_told_before_it_is_given_up(setting, monkeypatch):
    monkeypatch.setattr(slow_answers, "SLOW", timedelta(milliseconds=50))
    hypervisor = ScriptedHypervisor()
    find, answers = hypervisor.find, asyncio.Event()

    async def hang(vm):
        await answers.wait()
        return await find(vm)

    hypervisor.find = hang
    it = setting(hypervisor=hypervisor)
    source = (await it.reports(lambda status: status.source)).source
    assert (source.unreachable, source.vm) == (True, None)
    assert source.message == "libvirt can't be asked: it has not answered for 50ms, and is waited for"
    answers.set()
    source = (await it.reports(lambda status: status.source.vm)).source
    assert (source.unreachable, source.message) == (False, None)


async def test_a_vm_whose_qemu_hangs_as_it_is_to_start_is_told_and_starts_once_it_answers(
    setting, monkeypatch
):
    monkeypatch.setattr(slow_answers, "SLOW", timedelta(milliseconds=50))
    it = setting()
    look, answers = it.hypervisor.look, asyncio.Event()

    async def hang(vm):
        await answers.wait()
        return await look(vm)

    it.hypervisor.look = hang
    it.source._vm_facts.stop()
    it.want(desired())
    seen = await it.reports(lambda status: status.source and status.source.unreachable)
    assert (seen.attempts, it.hypervisor.starts) == ([], [])
    answers.set()
    seen = await it.reports(lambda status: status.attempts and status.progress)
    assert (seen.source.unreachable, seen.source.message) == (False, None)
    assert seen.source.vm.state == VMState.RUNNING


async def test_a_lost_connection_is_no_failure_while_the_job_goes_on(setting):
    it = setting()
    it.want(desired())
    await it.reports(lambda status: status.progress)
    it.hypervisor.lose_call(HypervisorUnreachable("End of file while reading data"))
    it.hypervisor.job = sample(memory_pass=7)
    await it.reports(lambda status: status.progress and status.progress.memory_pass == 7)
    it.hypervisor.leave()
    assert outcome(await it.reports(outcome)) == AttemptOutcome.COMPLETED


async def test_a_vm_that_died_in_mid_migration_has_not_moved(setting):
    it = setting()
    it.want(desired())
    await it.reports(lambda status: status.progress)
    it.hypervisor.die(HypervisorError("domain is not running (libvirt error 9)"))
    done = await it.reports(outcome)
    assert outcome(done) == AttemptOutcome.FAILED
    assert "domain is not running" in done.attempts[-1].error
    assert done.progress.percent < 100


OPEN = VMMigrationStatus(attempts=[Attempt(number=1, start=NOW)], desired=desired())


async def test_a_migration_that_an_earlier_process_began_is_taken_up_again(setting):
    it = setting(before=OPEN)
    it.hypervisor.run_job()
    await it.reports(lambda status: status.progress)
    it.hypervisor.leave()
    done = await it.reports(outcome)
    assert [(attempt.number, attempt.outcome) for attempt in done.attempts] == [(1, AttemptOutcome.COMPLETED)]
    assert not it.hypervisor.was_asked("migrate")


async def test_a_migration_that_ended_while_the_agent_was_away_is_reported_as_the_host_shows_it(setting):
    it = setting(before=OPEN)
    done = await it.reports(outcome)
    assert outcome(done) == AttemptOutcome.FAILED
    assert not it.hypervisor.was_asked("migrate")


async def test_a_job_that_is_another_s_is_never_touched(setting):
    it = setting()
    it.hypervisor.run_job()
    it.want(desired())
    done = await it.reports(outcome)
    assert "another migration of db-1 is running" in done.attempts[-1].error
    assert it.hypervisor.asked == []


async def test_a_vm_that_this_agent_migrates_already_is_refused(setting):
    it = setting(claims={UUID})
    it.want(desired())
    assert outcome(await it.reports(outcome)) == AttemptOutcome.FAILED
    assert it.hypervisor.asked == []


async def test_of_two_migrations_of_a_vm_that_start_at_once_one_is_refused(setting):
    claims, host = set(), SlowToLook()
    one, other = (setting(claims=claims, hypervisor=host) for _ in range(2))
    for it in (one, other):
        it.want(desired())
    refused = await other.reports(outcome)
    assert "another migration of db-1 is running" in refused.attempts[-1].error
    other.want(cancel=True)
    await one.looks()
    assert len(host.starts) == 1
    assert not host.was_asked("abort")
    assert outcome(one.reported) is None


class SlowToLook(ScriptedHypervisor):
    """Gives others time between the question and the answer."""

    async def look(self, domain):
        await asyncio.sleep(0.01)
        return await super().look(domain)


async def test_where_libvirt_has_a_migration_of_the_vm_already_that_one_is_left_alone(setting):
    it = setting()

    async def begin_elsewhere(uuid, request):
        it.hypervisor.run_job()
        raise MigrationRunsAlready("another migration job is already running (libvirt error 55)")

    it.hypervisor.migrate = begin_elsewhere
    it.want(desired())
    done = await it.reports(outcome)
    assert outcome(done) == AttemptOutcome.FAILED
    assert "another migration job" in done.attempts[-1].error
    assert not it.hypervisor.was_asked("abort")


async def test_without_an_address_nothing_is_started(setting):
    it = setting(target=TargetReport(ready=True))
    it.want(desired())
    done = await it.reports(outcome)
    assert "node-b has not told its address" in done.attempts[-1].error
    assert it.hypervisor.starts == []
