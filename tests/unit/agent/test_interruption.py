"""An interrupted post-copy, as the source's agent sees and handles it, over a scripted hypervisor."""

import asyncio
from datetime import timedelta

import pytest
from desired_parameters import desired
from scripted_hypervisor import ScriptedHypervisor, domain, sample
from source_setting import NOW, READY, MovedClock, outcome
from typing_extensions import override

from vmferry_agent.decisions.recovery import NOT_YET, SHOWS, SILENT
from vmferry_agent.hypervisor.libvirt_requests import refuse_addresses
from vmferry_agent.hypervisor.port import HypervisorError, HypervisorUnreachable, StreamHeld, TargetHalfLost
from vmferry_agent.migrations import interruption
from vmferry_agent.migrations.vm_reports import vm_report
from vmferry_api.conditions import ConditionType, find_condition
from vmferry_api.migrations import (
    Attempt,
    AttemptOutcome,
    MigrationTechnique,
    Phase,
    SourceReport,
    TargetReport,
    VMMigrationStatus,
    VMReport,
    VMState,
)
from vmferry_api.policies import PostCopyRecovery
from vmferry_api.transports import why_refused

TWICE = PostCopyRecovery(attempts=2, backoff=timedelta(seconds=10))
POST_COPY = desired(post_copy_allowed=True, technique=MigrationTechnique.POST_COPY, post_copy_recovery=TWICE)
BROKEN = domain(VMState.PAUSED, "PostCopyFailed")
HALF = READY.replace(vm=VMReport(state=VMState.RUNNING, reason="PostCopy"))
GONE = READY.replace(vm=VMReport(state=VMState.ABSENT))
LOST = HypervisorError("job 'migration in' failed in post-copy phase (libvirt error 9)")
PATIENCE = 7
"""Seconds that a slow machine may take, beyond those that the test lets pass."""
REFUSED = HypervisorError("unable to connect to server: No route to host (libvirt error 38)")
DIES = HypervisorUnreachable("End of file while reading data: Input/output error (libvirt error 38)")
"""What a target's daemon answers that dies of it (libvirt 11.2 and 11.3)."""


def told(status: VMMigrationStatus) -> tuple[str, str] | None:
    found = find_condition(status.conditions, ConditionType.POST_COPY_INTERRUPTED)
    return (found.status, found.reason) if found else None


@pytest.fixture(autouse=True)
def shows_soon(monkeypatch):
    """Nothing here takes long to show."""
    monkeypatch.setattr(interruption, "SHOWS", timedelta(milliseconds=50))


@pytest.fixture
async def it(setting):
    """A migration in post-copy."""
    it = setting(clock=MovedClock())
    it.clock = it.source._clock
    it.want(POST_COPY)
    await it.reports(lambda status: told(status) == ("False", "PostCopy"))
    return it


def breaks(it):
    it.hypervisor.domain, it.hypervisor.job = BROKEN, None
    it.hypervisor.lose_call(LOST)


async def test_a_broken_link_is_told_and_the_post_copy_taken_up_again(it):
    breaks(it)
    await it.asks("resume_post_copy")
    seen = await it.reports(lambda status: status.recovery and status.recovery.end)
    assert told(seen) == ("False", "PostCopy")
    assert seen.recovery.tries == 1
    it.hypervisor.leave()
    assert outcome(await it.reports(outcome)) == AttemptOutcome.COMPLETED


async def test_what_it_is_taken_up_with_is_where_the_target_is_now(it):
    it.target_says(TargetReport(ready=True, connect_uri="moved", migration_uri="tcp://moved"))
    breaks(it)
    await it.asks("resume_post_copy")
    assert it.hypervisor.starts[-1].connect_uri == "moved"


@pytest.mark.parametrize("answer", [REFUSED, DIES])
async def test_tries_end_as_the_policy_says_and_an_edit_begins_them_again(it, answer):
    it.hypervisor.refuse["resume_post_copy"] = answer
    breaks(it)
    await it.reports(lambda status: status.recovery and status.recovery.error)
    assert told(it.reported) == ("True", "LinkLost")
    it.clock.go_on(10)
    seen = await it.reports(lambda status: told(status) == ("True", "RecoveryExhausted"))
    assert (seen.recovery.tries, seen.recovery.error) == (2, str(answer))
    it.clock.go_on(3600)
    await it.looks()
    assert len(it.hypervisor.starts) == 3
    assert outcome(it.reported) is None
    del it.hypervisor.refuse["resume_post_copy"]
    more = POST_COPY.replace(revision=2, post_copy_recovery=TWICE.replace(attempts=3))
    it.want(more)
    await it.reports(lambda status: status.recovery.end)


async def test_a_stream_that_is_still_held_counts_as_no_try(it):
    it.hypervisor.refuse["resume_post_copy"] = StreamHeld("QEMU reports migration is still running")
    breaks(it)
    for _ in range(4):
        tried = len(it.hypervisor.starts)
        it.clock.go_on(NOT_YET.total_seconds() + 30)
        await it.reports(
            lambda status, tried=tried: len(it.hypervisor.starts) > tried and status.recovery.error
        )
    seen = await it.reports(lambda status: status.recovery.tries == 0)
    assert told(seen) == ("True", "LinkLost")


async def test_a_target_that_has_no_half_any_more_ends_it_and_nothing_is_destroyed_or_resumed(it):
    it.hypervisor.refuse["resume_post_copy"] = TargetHalfLost(
        "domain 'db-1' is not processing incoming migration"
    )
    it.target_says(GONE)
    breaks(it)
    done = await it.reports(outcome)
    assert outcome(done) == AttemptOutcome.FAILED
    assert "what is left on node-a stands still for ever. Destroy it there" in done.attempts[-1].error
    assert not it.hypervisor.was_asked("resume")
    assert it.hypervisor.domain == BROKEN


async def test_daemons_that_have_lost_each_other_are_told_from_a_link_that_is_lost(it):
    it.target_says(HALF)
    it.hypervisor.domain = BROKEN
    it.hypervisor.lose_call(HypervisorUnreachable("client socket is closed"))
    await it.looks()
    for sent in range(1, 400):  # memory flows on
        it.hypervisor.job = sample(sent=sent * 2**20)
        await it.looks(1)
        if told(it.reported) == ("False", "DaemonsApart"):
            break
    seen = await it.reports(lambda status: told(status) == ("False", "DaemonsApart"))
    assert seen.recovery is None
    assert not it.hypervisor.was_asked("resume_post_copy")
    it.hypervisor.leave()
    assert outcome(await it.reports(outcome)) == AttemptOutcome.COMPLETED


async def test_what_goes_into_the_buffer_of_a_dead_connection_is_no_flow(it, monkeypatch):
    monkeypatch.setattr(interruption, "SHOWS", SHOWS)  # what flows at once must come before it
    it.target_says(HALF)
    it.hypervisor.refuse["resume_post_copy"] = REFUSED
    it.hypervisor.domain, it.hypervisor.job = BROKEN, sample(sent=2**20)
    it.hypervisor.lose_call(LOST)
    await it.looks()
    it.hypervisor.job = sample(sent=2**21)
    await it.looks()
    await it.reports(lambda status: told(status) == ("True", "LinkLost"))


@pytest.mark.parametrize(
    "said", [HALF, READY, GONE.replace(unreachable=True)], ids=["sees one", "has not looked", "can't look"]
)
async def test_a_daemon_that_knows_no_half_is_believed_only_where_the_target_s_agent_sees_none_either(
    it, said
):
    it.target_says(said)
    it.hypervisor.refuse["resume_post_copy"] = TargetHalfLost("Domain not found")
    breaks(it)
    seen = await it.reports(lambda status: status.recovery and status.recovery.error)
    assert (seen.recovery.tries, outcome(seen)) == (1, None)


async def test_an_old_word_of_the_target_breaks_nothing_that_was_taken_up_anew(it):
    it.target_says(READY.replace(vm=VMReport(state=VMState.RUNNING, reason="PostCopyFailed")))
    breaks(it)
    await it.reports(lambda status: status.recovery and status.recovery.end)
    it.clock.go_on(SILENT.total_seconds())
    await it.reports(lambda status: told(status) == ("True", "LinkSilent"))
    await it.looks()
    assert not it.hypervisor.was_asked("break_post_copy")


async def test_an_interruption_that_follows_soon_is_the_same_one_and_keeps_its_tries(it):
    breaks(it)
    first = await it.reports(lambda status: status.recovery and status.recovery.end)
    it.hypervisor.refuse["resume_post_copy"] = REFUSED
    it.hypervisor.domain = BROKEN
    it.hypervisor.lose_call(LOST)
    it.clock.go_on(20)
    seen = await it.reports(lambda status: told(status) == ("True", "RecoveryExhausted"))
    assert (seen.recovery.since, seen.recovery.tries) == (first.recovery.since, 2)


async def test_a_target_that_does_not_answer_is_not_dialled_by_libvirt_whose_tries_would_hang(setting):
    async with await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        it = setting(
            clock=MovedClock(), target=READY.replace(connect_uri=f"qemu+tcp://127.0.0.1:{port}/system")
        )
        it.want(POST_COPY)
        await it.reports(lambda status: told(status) == ("False", "PostCopy"))
        await it.looks()
    breaks(it)
    seen = await it.reports(lambda status: status.recovery and status.recovery.error)
    assert f"127.0.0.1, port {port}, does not answer" in seen.recovery.error
    assert not it.hypervisor.was_asked("resume_post_copy")


class CarefulHypervisor(ScriptedHypervisor):
    """One that looks at addresses as the real one does."""

    @override
    async def resume_post_copy(self, uuid, request):
        refuse_addresses(request)
        await super().resume_post_copy(uuid, request)


@pytest.mark.parametrize(
    "connect_uri",
    [
        "qemu+tls://b:99999/system",
        "qemu+tls://[zz]/system",
        "qemu+tcp://b..c/system",
        "qemu+ext:///system?command=/tmp/x",
        "qemu+tcp://127.0.0.1:{port}/system?name=test:///default",
    ],
)
async def test_an_address_that_is_none_is_not_asked_and_the_recovery_tells_why(setting, connect_uri):
    asked = []

    def note(_reader, writer):
        asked.append(writer.get_extra_info("peername"))
        writer.close()

    clock = MovedClock()
    async with await asyncio.start_server(note, "127.0.0.1", 0) as server:
        uri = connect_uri.format(port=server.sockets[0].getsockname()[1])
        it = setting(clock=clock, hypervisor=CarefulHypervisor(), target=READY.replace(connect_uri=uri))
        it.want(POST_COPY)
        await it.reports(lambda status: told(status) == ("False", "PostCopy"))
        await it.looks()
        breaks(it)
        seen = await it.reports(lambda status: status.recovery and status.recovery.error)
        await it.looks()
        assert asked == []
    assert seen.recovery.error == why_refused(uri)
    assert not it.hypervisor.was_asked("resume_post_copy")
    it.target_says(READY.replace(connect_uri="qemu+tls://b/system"))
    clock.go_on(10)
    await it.reports(lambda status: status.recovery.end)


async def test_a_silent_link_is_told_and_nothing_done_about_it_until_the_target_s_end_is_dead(it):
    it.clock.go_on(SILENT.total_seconds())
    await it.reports(lambda status: told(status) == ("True", "LinkSilent"))
    await it.looks()
    assert not it.hypervisor.was_asked("break_post_copy")
    it.target_says(READY.replace(vm=VMReport(state=VMState.RUNNING, reason="PostCopyFailed")))
    await it.asks("break_post_copy")
    await it.asks("resume_post_copy")


async def test_a_silent_link_that_carries_again_is_told(it):
    it.clock.go_on(SILENT.total_seconds())
    await it.reports(lambda status: told(status) == ("True", "LinkSilent"))
    it.hypervisor.job = sample(sent=2**20)
    seen = await it.reports(lambda status: told(status) == ("False", "PostCopy"))
    assert (seen.recovery.tries, seen.recovery.end is not None) == (0, True)


async def test_another_process_finds_a_silent_link_as_silent_as_it_was(setting, it):
    it.hypervisor.job = sample(sent=40 * 2**20 + 1000)
    await it.reports(lambda status: status.progress.transferred == 40 * 2**20)
    it.clock.go_on(60)
    seen = await it.reports(lambda status: told(status) == ("True", "LinkSilent"))
    await it.close()
    other = setting(before=seen.replace(desired=POST_COPY), hypervisor=it.hypervisor, clock=it.clock)
    await other.looks(5)
    while not other.writing.empty():
        said = other.writing.get_nowait()
        assert (told(said), said.recovery) == (("True", "LinkSilent"), seen.recovery)
    it.hypervisor.job = sample(sent=42 * 2**20)
    seen = await other.reports(lambda status: told(status) == ("False", "PostCopy"))
    assert seen.attempts[-1].interrupted >= timedelta(seconds=60)


async def test_another_process_goes_on_with_the_tries_that_are_left(setting, it):
    it.hypervisor.refuse["resume_post_copy"] = REFUSED
    breaks(it)
    await it.reports(lambda status: status.recovery and status.recovery.error)
    it.clock.go_on(10)
    seen = await it.reports(lambda status: told(status) == ("True", "RecoveryExhausted"))
    await it.close()
    before = seen.replace(desired=POST_COPY)
    other = setting(before=before, hypervisor=it.hypervisor, clock=it.clock)
    await other.looks()
    assert len(it.hypervisor.starts) == 3
    more = POST_COPY.replace(revision=2, post_copy_recovery=TWICE.replace(attempts=3))
    other.want(more)
    it.clock.go_on(60)
    await other.reports(
        lambda status: (
            status.recovery and status.recovery.tries == 3 and told(status) == ("True", "RecoveryExhausted")
        )
    )


async def test_post_copy_is_not_begun_over_a_link_that_carries_nothing(setting):
    it = setting(clock=MovedClock())
    it.want(desired(post_copy_allowed=True))
    await it.reports(lambda status: status.applied)
    it.source._clock.go_on(SILENT.total_seconds())
    it.want(POST_COPY.replace(revision=2))
    await it.looks()
    assert not it.hypervisor.was_asked("start_post_copy")
    assert it.reported.applied.revision == 1
    it.hypervisor.job = sample(sent=2**20)
    await it.asks("start_post_copy")
    await it.reports(lambda status: status.applied.revision == 2)


async def test_a_link_that_carries_nothing_in_pre_copy_stalls(setting):
    it = setting(clock=MovedClock())
    it.want(desired(stalling_limit=timedelta(seconds=2)))
    await it.reports(lambda status: status.applied)
    it.source._clock.go_on(SILENT.total_seconds())
    stalls = ConditionType.MIGRATION_STALLING
    seen = await it.reports(
        lambda status: (found := find_condition(status.conditions, stalls)) and found.reason == "LinkSilent"
    )
    assert find_condition(seen.conditions, stalls).status == "True"


async def test_no_guest_is_paused_before_that_is_on_record(setting):
    it = setting()
    it.want(desired())
    await it.reports(lambda status: status.applied)
    it.may_write.clear()
    it.want(desired(revision=2, suspend=True))
    while not (await it.writing.get()).attempts[-1].suspended:
        pass
    await it.looks()
    assert not it.hypervisor.was_asked("suspend")
    it.may_write.set()
    await it.asks("suspend")
    await it.reports(lambda status: status.applied.revision == 2)


async def test_another_process_lets_a_guest_run_again_that_the_target_is_seen_without(setting):
    begun = Attempt(number=1, start=NOW, suspended=True)
    it = setting(before=VMMigrationStatus(attempts=[begun], desired=desired(suspend=True)))
    it.hypervisor.domain = domain(VMState.PAUSED, "User")
    done = await it.reports(outcome)
    assert "left so until the target is seen not to run it" in done.attempts[-1].error
    assert not it.hypervisor.was_asked("resume")
    it.target_says(READY.replace(vm=VMReport(state=VMState.ABSENT), after_attempt=1))
    await it.asks("resume")
    seen = await it.reports(lambda status: status.source.vm.state == VMState.RUNNING)
    assert not seen.attempts[-1].suspended


class LeftBehind(ScriptedHypervisor):
    """Has what a VM has left behind."""

    def __init__(self, left):
        super().__init__()
        self.domain = left


async def test_what_could_not_be_removed_is_warned_of_until_it_is(setting):
    over = Attempt(number=1, start=NOW, end=NOW, outcome=AttemptOutcome.COMPLETED)
    there = READY.replace(vm=VMReport(state=VMState.RUNNING, reason="Migrated"), after_attempt=1)
    left = domain(VMState.SHUT_OFF, "Migrated")
    report = SourceReport(vm=vm_report(left))
    before = VMMigrationStatus(attempts=[over], phase=Phase.SUCCEEDED, source=report)
    hypervisor, clock = LeftBehind(left), MovedClock()
    hypervisor.refuse["undefine"] = HypervisorError("cannot acquire state change lock (libvirt error 68)")
    it = setting(before=before, target=there, hypervisor=hypervisor, clock=clock)
    await it.reports(lambda status: status.source and "it can't be done yet" in (status.source.message or ""))
    del hypervisor.refuse["undefine"]
    clock.go_on(100)
    it.source._changed.set()
    await it.over()
    seen = await it.reports(lambda status: status.source.vm.state == VMState.ABSENT)
    assert seen.source.message is None


async def test_a_definition_left_behind_is_removed_after_the_end_was_written(setting):
    over = Attempt(number=1, start=NOW, end=NOW, outcome=AttemptOutcome.COMPLETED)
    there = READY.replace(vm=VMReport(state=VMState.RUNNING, reason="Migrated"), after_attempt=1)
    left = domain(VMState.SHUT_OFF, "Migrated")
    report = SourceReport(vm=vm_report(left))
    before = VMMigrationStatus(attempts=[over], phase=Phase.SUCCEEDED, source=report)
    it = setting(before=before, target=there, hypervisor=LeftBehind(left))
    await it.asks("undefine")
    await it.over()
    assert it.hypervisor.domain is None


def seconds(interrupted):
    return 0 if interrupted is None else interrupted.total_seconds()


async def test_how_long_it_stood_still_in_all_interruptions_is_told_of_the_attempt(it):
    it.clock.go_on(8)
    first = await it.reports(lambda status: told(status) == ("True", "LinkSilent"))
    it.clock.go_on(4)
    it.hypervisor.job = sample(sent=2**20)
    seen = await it.reports(lambda status: status.attempts[-1].interrupted)
    assert seen.recovery.since == first.recovery.since
    assert 12 <= seconds(seen.attempts[-1].interrupted) < 12 + PATIENCE
    it.clock.go_on(20)
    again = await it.reports(lambda status: status.recovery.again)
    assert again.recovery.since == first.recovery.since
    it.hypervisor.job = sample(sent=2**21)
    seen = await it.reports(lambda status: seconds(status.attempts[-1].interrupted) > 12 + PATIENCE)
    assert 32 <= seconds(seen.attempts[-1].interrupted) < 32 + PATIENCE
    it.hypervisor.leave()
    done = await it.reports(outcome)
    assert done.attempts[-1].interrupted == seen.attempts[-1].interrupted


async def test_one_that_lasts_at_the_end_of_the_attempt_counts_up_to_then(it):
    it.hypervisor.refuse["resume_post_copy"] = TargetHalfLost("is not processing incoming migration")
    it.target_says(GONE)
    it.clock.go_on(30)
    await it.reports(lambda status: told(status) == ("True", "LinkSilent"))
    breaks(it)
    done = await it.reports(outcome)
    assert outcome(done) == AttemptOutcome.FAILED
    assert 30 <= seconds(done.attempts[-1].interrupted) < 30 + PATIENCE
    assert done.recovery.end is None


async def test_a_post_copy_without_an_interruption_tells_of_none(it):
    it.hypervisor.leave()
    assert (await it.reports(outcome)).attempts[-1].interrupted is None
