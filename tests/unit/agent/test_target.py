"""The target role over a scripted hypervisor: what is reported of a VM that is to come, and of how it arrived."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from scripted_hypervisor import HARDWARE, UUID, ScriptedHypervisor, domain

from vmferry_agent.clock import Clock
from vmferry_agent.hypervisor.port import HypervisorUnreachable, News, Suitability
from vmferry_agent.migrations import slow_answers, target
from vmferry_agent.migrations.target import Addresses, TargetMigration
from vmferry_agent.reporting import Reporter
from vmferry_agent.streams import IncomingStreams
from vmferry_api.conditions import ConditionType, condition
from vmferry_api.features import Feature
from vmferry_api.migrations import (
    Attempt,
    AttemptOutcome,
    Phase,
    Progress,
    SourceReport,
    TargetReport,
    VMMigration,
    VMMigrationStatus,
    VMReport,
    VMState,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SOURCE = SourceReport(vm=VMReport(name="db-1", uuid=UUID, memory=2**30, state=VMState.RUNNING))
BEGUN = Attempt(number=1, start=NOW)
ENDED = BEGUN.replace(end=NOW + timedelta(seconds=9), outcome=AttemptOutcome.COMPLETED)


class NotedStreams(IncomingStreams):
    """Notes when dead ones are to be ended."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def end_dead(self, ports: range, at_least: timedelta) -> int:
        self.asked.set()
        return 0


class Setting:
    """One migration on its target, with the API server and the source played by the test."""

    def __init__(self) -> None:
        self.hypervisor = ScriptedHypervisor()
        self.hypervisor.domain = None
        self.streams = NotedStreams()
        self._seen = asyncio.Condition()
        self._report: TargetReport | None = None
        self._reporter = Reporter("default/m", self._write, gone=lambda: None, every=timedelta(0))
        self._migration = VMMigration.model_validate(
            {
                "metadata": {"name": "m", "namespace": "default", "uid": "u"},
                "spec": {"vm": "db-1", "sourceNode": "node-a", "targetNode": "node-b"},
            }
        )
        self.target = TargetMigration(
            self._migration,
            hypervisor=self.hypervisor,
            addresses=Addresses(connect_uri="qemu+tls://b/system", migration_uri=None),
            reporter=self._reporter,
            streams=self.streams,
            clock=Clock(),
        )
        self.task = asyncio.create_task(self.target.run())

    async def _write(self, status: object) -> None:
        async with self._seen:
            self._report = VMMigrationStatus.model_validate(status).target
            self._seen.notify_all()

    def see(self, **status: object) -> None:
        """The source's agent, or the operator, has written."""
        self._migration = self._migration.replace(status=self._migration.status.replace(**status))
        self.target.update(self._migration)

    async def reports(self, holds: Callable[[TargetReport], object]) -> TargetReport:
        """Wait until a report says so."""
        async with asyncio.timeout(10), self._seen:
            await self._seen.wait_for(lambda: self._report is not None and holds(self._report))
            assert self._report is not None
            return self._report

    async def looks(self, times: int) -> None:
        """Wait until the host has been looked at so often again, and what was seen has been judged."""
        for _ in range(times):
            due = self.hypervisor.looks["find"] + 1
            self.hypervisor.tell(News.STATE)
            async with asyncio.timeout(10), self.hypervisor.news:
                await self.hypervisor.news.wait_for(lambda due=due: self.hypervisor.looks["find"] >= due)

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self._reporter.stop()


@pytest.fixture
async def it():
    made = Setting()
    yield made
    await made.close()


async def test_a_host_that_can_take_the_vm_says_so_and_where_it_goes(it):
    it.see(source=SOURCE)
    report = await it.reports(lambda report: report.ready)
    assert (report.connect_uri, report.vm.state, report.after_attempt) == (
        "qemu+tls://b/system",
        VMState.ABSENT,
        0,
    )


async def test_a_host_where_the_vm_runs_already_is_not_ready(it):
    it.hypervisor.domain = domain()
    it.see(source=SOURCE)
    assert (await it.reports(lambda report: not report.ready)).message


async def test_what_is_left_over_is_told_from_what_an_attempt_has_brought(it):
    it.hypervisor.domain = domain(VMState.SHUT_OFF, "Migrated")
    it.see(source=SOURCE, attempts=[BEGUN])
    assert (await it.reports(lambda report: report.vm)).after_attempt == 0
    it.see(attempts=[ENDED])
    assert (await it.reports(lambda report: report.after_attempt == 1)).vm.state == VMState.SHUT_OFF


async def test_while_libvirt_can_t_be_asked_nothing_is_known_of_an_end(it):
    it.see(source=SOURCE, attempts=[BEGUN])
    known = await it.reports(lambda report: report.vm)

    async def lost(vm: str) -> None:
        raise HypervisorUnreachable("no socket")

    it.hypervisor.find = lost
    it.see(target=known, attempts=[ENDED])
    report = await it.reports(lambda report: report.message)
    assert "no socket" in report.message
    assert report.after_attempt == 0


async def test_it_ends_with_the_migration(it):
    it.see(source=SOURCE)
    await it.reports(lambda report: report.ready)
    it.see(phase=Phase.SUCCEEDED)
    async with asyncio.timeout(10):
        await it.task


@pytest.mark.parametrize(
    ("outcome", "phase", "left"),
    [
        (AttemptOutcome.FAILED, Phase.FAILED, None),
        (AttemptOutcome.COMPLETED, Phase.SUCCEEDED, domain(VMState.RUNNING, "Migrated")),
    ],
)
async def test_what_it_tells_of_the_vm_after_the_end_is_what_it_has_seen_after_the_end(
    it, outcome, phase, left
):
    now = datetime.now(UTC)
    it.hypervisor.domain = domain(VMState.PAUSED, "Migration")
    it.see(source=SOURCE, attempts=[BEGUN.replace(start=now)])
    await it.reports(lambda report: report.vm.reason == "Migration")
    it.see(phase=phase, attempts=[BEGUN.replace(start=now, end=now, outcome=outcome)])
    await it.reports(lambda report: report.after_attempt == 1)
    assert not it.task.done()
    it.hypervisor.domain = left
    it.hypervisor.tell(News.STATE)
    state = VMState.ABSENT if left is None else left.state
    await it.reports(lambda report: report.vm.state == state)
    async with asyncio.timeout(10):
        await it.task


async def test_a_libvirt_that_hangs_is_told_before_it_is_given_up(it, monkeypatch):
    monkeypatch.setattr(slow_answers, "SLOW", timedelta(milliseconds=50))
    find, answers = it.hypervisor.find, asyncio.Event()

    async def hang(vm: str) -> object:
        await answers.wait()
        return await find(vm)

    it.hypervisor.find = hang
    it.see(source=SOURCE)
    report = await it.reports(lambda report: report.unreachable)
    assert not report.ready
    assert report.message == "libvirt can't be asked: it has not answered for 50ms, and is waited for"
    answers.set()
    assert (await it.reports(lambda report: report.ready)).unreachable is False


async def test_between_two_attempts_the_host_is_checked_anew(it):
    failed = ENDED.replace(outcome=AttemptOutcome.FAILED)
    it.see(source=SOURCE, attempts=[failed])
    assert (await it.reports(lambda report: report.after_attempt == 1)).ready
    it.hypervisor.domain = domain()
    it.see(attempts=[failed.replace(error="x")])
    assert (await it.reports(lambda report: not report.ready)).message
    it.see(attempts=[failed, BEGUN.replace(number=2)])
    assert (await it.reports(lambda report: report.ready)).after_attempt == 1


async def test_between_two_attempts_a_host_that_can_t_be_asked_is_not_ready(it):
    failed = ENDED.replace(outcome=AttemptOutcome.FAILED)
    it.see(source=SOURCE, attempts=[failed])
    known = await it.reports(lambda report: report.after_attempt == 1)

    async def lost(vm: str) -> None:
        raise HypervisorUnreachable("no socket")

    it.hypervisor.find = lost
    it.see(target=known, attempts=[failed.replace(error="x")])
    report = await it.reports(lambda report: not report.ready)
    assert ("no socket" in report.message, report.after_attempt, report.unreachable) == (True, 1, True)


async def test_what_the_host_can_do_is_reported_in_order(it):
    it.hypervisor.features = frozenset({Feature.ZSTD, Feature.PARALLEL, Feature.POST_COPY})
    it.see(source=SOURCE)
    assert (await it.reports(lambda report: report.features)).features == [
        "ParallelConnections",
        "PostCopy",
        "Zstd",
    ]


NEEDING = SOURCE.replace(hardware=HARDWARE)


async def test_a_host_that_lacks_what_the_vm_needs_is_not_ready_and_says_what(it):
    it.hypervisor.suits = Suitability(cpu_refused="required features: avx512f")
    it.see(source=NEEDING)
    assert "required features: avx512f" in (await it.reports(lambda report: not report.ready)).message


async def test_what_the_host_lacks_is_asked_once_while_nothing_has_changed(it):
    it.see(source=NEEDING)
    await it.looks(5)
    assert it.hypervisor.questions == [("suitability", HARDWARE)]
    more = HARDWARE.replace(machine="pc-q35-9.0")
    it.see(source=NEEDING.replace(hardware=more))
    await it.looks(2)
    assert it.hypervisor.questions == [("suitability", HARDWARE), ("suitability", more)]


async def test_while_the_vm_is_coming_it_is_not_asked(it):
    it.see(source=NEEDING, attempts=[BEGUN])
    await it.looks(5)
    assert it.hypervisor.questions == []


async def test_a_source_that_does_not_tell_what_the_vm_needs_keeps_nothing_from_coming(it):
    it.hypervisor.suits = Suitability(cpu_refused="required features: avx512f")
    it.see(source=SOURCE)
    await it.reports(lambda report: report.ready)


async def test_what_the_host_lacks_is_asked_again_after_a_while(it, monkeypatch):
    monkeypatch.setattr(target, "ASK_AGAIN", 0.0)
    it.hypervisor.suits = Suitability(machine_refused="no such machine")
    it.see(source=NEEDING)
    await it.reports(lambda report: not report.ready)
    it.hypervisor.suits = Suitability()
    await it.looks(1)
    await it.reports(lambda report: report.ready)


async def test_what_the_source_tells_of_progress_is_no_reason_to_look(it):
    it.see(source=SOURCE, attempts=[BEGUN])
    await it.reports(lambda report: report.ready)
    looks = it.hypervisor.looks["find"]
    for seconds in range(50):
        it.see(
            progress=Progress(
                memory_pass=1, percent=1, remaining=0, transferred=seconds, total=1, elapsed=timedelta(0)
            )
        )
        await asyncio.sleep(0)
    assert it.hypervisor.looks["find"] <= looks + 1


async def test_that_the_vm_has_arrived_is_told_as_soon_as_it_is_heard(it):
    it.see(source=SOURCE, attempts=[BEGUN])
    await it.reports(lambda report: report.vm.state == VMState.ABSENT)
    it.hypervisor.domain = domain(VMState.RUNNING, "Migrated")
    it.hypervisor.tell(News.STATE)
    await it.reports(lambda report: report.vm.reason == "Migrated")


@pytest.mark.parametrize(
    ("reason", "interrupted", "ended"),
    [
        ("PostCopy", "True", True),
        ("PostCopy", "False", False),
        ("PostCopyFailed", "True", False),
        ("Migrated", "True", False),
    ],
)
async def test_dead_streams_are_ended_only_for_a_half_that_its_source_says_is_interrupted(
    it, reason, interrupted, ended
):
    told = condition([], ConditionType.POST_COPY_INTERRUPTED, interrupted, "LinkSilent", now=NOW)
    it.hypervisor.domain = domain(VMState.RUNNING, reason)
    it.see(source=SOURCE, attempts=[BEGUN], conditions=[told])
    await it.reports(lambda report: report.vm.reason == reason)
    await it.looks(2)
    assert it.streams.asked.is_set() == ended


async def test_a_libvirt_that_is_lost_takes_back_nothing_that_was_told_and_not_read_back_yet(it):
    it.see(source=SOURCE, attempts=[BEGUN])
    it.see(target=await it.reports(lambda report: report.vm))  # the watch is behind from here on
    it.hypervisor.domain = domain(VMState.RUNNING, "Migrated")
    it.see(attempts=[ENDED])
    await it.reports(lambda report: report.after_attempt == 1)
    it.hypervisor.refuse["find"] = HypervisorUnreachable("no socket")
    it.hypervisor.tell(News.STATE)
    seen = await it.reports(lambda report: report.unreachable)
    assert (seen.vm.state, seen.after_attempt) == (VMState.RUNNING, 1)


async def test_why_libvirt_can_t_be_asked_is_told_once_whatever_it_says_afterwards(it):
    it.hypervisor.refuse["find"] = HypervisorUnreachable("it has not answered for 6s")
    it.see(source=SOURCE)
    first = await it.reports(lambda report: report.unreachable)
    it.hypervisor.refuse["find"] = HypervisorUnreachable("did not answer within 35 s")
    await it.looks(2)
    assert await it.reports(lambda report: report.unreachable) == first
