"""The source role over a scripted hypervisor: what is asked of it, and what is reported."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from desired_parameters import desired
from scripted_hypervisor import UUID, ScriptedHypervisor, domain, sample

from vmferry_agent.clock import Clock
from vmferry_agent.hypervisor.port import HypervisorError, HypervisorUnreachable
from vmferry_agent.migrations.source import SourceMigration
from vmferry_agent.reporting import Reporter
from vmferry_api.conditions import ConditionType, find_condition
from vmferry_api.migrations import (
    Attempt,
    AttemptOutcome,
    Desired,
    DesiredState,
    MigrationTechnique,
    Phase,
    TargetReport,
    VMMigration,
    VMMigrationStatus,
    VMState,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Setting:
    """One migration on its source, with the API server and the operator played by the test."""

    def __init__(self, before: VMMigrationStatus | None = None, claims: set[str] | None = None) -> None:
        self.hypervisor = ScriptedHypervisor()
        self.reported = VMMigrationStatus()
        self.may_write = asyncio.Event()
        self.may_write.set()
        self.writing: asyncio.Queue[VMMigrationStatus] = asyncio.Queue()
        self._seen = asyncio.Condition()
        self._migration = VMMigration.model_validate(
            {
                "metadata": {"name": "m", "namespace": "default", "uid": "u"},
                "spec": {"vm": "db-1", "sourceNode": "node-a", "targetNode": "node-b"},
            }
        ).replace(
            status=(before or VMMigrationStatus()).replace(target=TargetReport(ready=True, connect_uri="b"))
        )
        self._reporter = Reporter("default/m", self._write, every=timedelta(0))
        self.source = SourceMigration(
            self._migration,
            hypervisor=self.hypervisor,
            reporter=self._reporter,
            claims=set() if claims is None else claims,
            clock=Clock(),
            sampling=timedelta(milliseconds=5),
        )
        self._task = asyncio.create_task(self.source.run())

    async def _write(self, status: object) -> None:
        taken = VMMigrationStatus.model_validate(status)
        self.writing.put_nowait(taken)
        await self.may_write.wait()
        async with self._seen:
            self.reported = taken
            self._seen.notify_all()

    async def reports(self, holds: Callable[[VMMigrationStatus], object]) -> VMMigrationStatus:
        """Wait until a report says so."""
        async with asyncio.timeout(10), self._seen:
            await self._seen.wait_for(lambda: holds(self.reported))
        return self.reported

    async def asks(self, name: str) -> None:
        """Wait until something is asked of the hypervisor."""
        async with asyncio.timeout(10), self.hypervisor.news:
            await self.hypervisor.news.wait_for(lambda: self.hypervisor.was_asked(name))

    def want(self, wanted: Desired | None = None, phase: Phase | None = None, **spec: object) -> None:
        """The operator, or the user, changes the object."""
        status = self._migration.status
        status = status.replace(desired=wanted or status.desired, phase=phase or status.phase)
        self._migration = self._migration.replace(status=status, spec=self._migration.spec.replace(**spec))
        self.source.update(self._migration)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._reporter.stop()


@pytest.fixture
async def setting():
    made = []

    def new(**words):
        made.append(Setting(**words))
        return made[-1]

    yield new
    for each in made:
        await each.close()


def outcome(status: VMMigrationStatus) -> AttemptOutcome | None:
    return status.attempts[-1].outcome if status.attempts else None


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


async def test_stalling_is_reported_and_taken_back(setting):
    def stalling(status, value):
        found = find_condition(status.conditions, ConditionType.MIGRATION_STALLING)
        return found is not None and found.status == value

    it = setting()
    it.want(desired(stalling_limit=timedelta(milliseconds=1)))
    await it.reports(lambda status: stalling(status, "False"))
    it.hypervisor.job = sample(memory_pass=9)
    await it.reports(lambda status: stalling(status, "True"))
    it.hypervisor.job = sample(memory_pass=10, needed=500)
    await it.reports(lambda status: stalling(status, "False"))


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


async def test_a_lost_connection_is_no_failure_while_the_job_goes_on(setting):
    it = setting()
    it.want(desired())
    await it.reports(lambda status: status.progress)
    it.hypervisor.lose_call(HypervisorUnreachable("End of file while reading data"))
    it.hypervisor.job = sample(memory_pass=7)
    await it.reports(lambda status: status.progress and status.progress.memory_pass == 7)
    it.hypervisor.leave()
    assert outcome(await it.reports(outcome)) == AttemptOutcome.COMPLETED


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
