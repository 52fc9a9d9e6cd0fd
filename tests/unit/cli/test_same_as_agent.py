"""On a recording the simulated agent does what the real one does: the same reports and changes at every look."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from recorded_hypervisor import RecordedHypervisor
from simulated_guests import MIB, TRACES, recording

from kubectl_vmferry.simulation.attempt import Start
from kubectl_vmferry.simulation.jobs import JobEnd
from kubectl_vmferry.simulation.recording import RecordedJob, Recording
from kubectl_vmferry.simulation.source_node import SourceNode
from kubectl_vmferry.simulation.vms import simulated_vm
from vmferry_agent.decisions.changes import Change
from vmferry_agent.hypervisor.port import StartRequest
from vmferry_agent.migrations import attempt as real
from vmferry_agent.migrations.orders import Orders
from vmferry_agent.migrations.source_status import SourceStatus
from vmferry_agent.migrations.traces import Trace
from vmferry_agent.reach import NetworkReach
from vmferry_api.migrations import (
    AttemptOutcome,
    Desired,
    DesiredState,
    MigrationTechnique,
    VMMigration,
    VMMigrationStatus,
)
from vmferry_api.policies import DowntimeRamp, StartOptions

EVERY = 0.5
VM = simulated_vm(memory=128 * MIB, vcpus=1)
PLAIN = Desired(
    revision=1,
    state=DesiredState.MIGRATE,
    attempt=1,
    technique=MigrationTechnique.PRE_COPY,
    post_copy_allowed=True,
    max_downtime=timedelta(milliseconds=100),
    bandwidth=50 * MIB,
    stalling_limit=timedelta(seconds=3),
    progress_timeout=timedelta(seconds=150),
    reason="as the test says",
)
MIGRATION = VMMigration.model_validate(
    {"metadata": {"name": "m"}, "spec": {"vm": "v", "sourceNode": "a", "targetNode": "b"}}
)
Schedule = Sequence[tuple[float, Mapping[str, Any]]]
"""From which moment on what is wanted."""
Looks = list[dict[str, Any]]


def milliseconds(value: int) -> timedelta:
    return timedelta(milliseconds=value)


SCHEDULES: dict[str, Schedule] = {
    "nothing is changed": [],
    "stalling is never reported": [(0, {"stalling_limit": timedelta(0)})],
    "the downtime is raised": [
        (3, {"max_downtime": milliseconds(150)}),
        (7.2, {"max_downtime": milliseconds(500)}),
    ],
    "the agent raises it": [
        (0, {"max_downtime": None, "agent_downtime_ramp": DowntimeRamp(max=milliseconds(500), steps=5)})
    ],
    "the cap moves a little, then a lot, then goes": [
        (4, {"bandwidth": 52 * MIB}),
        (9, {"bandwidth": 100 * MIB}),
        (14, {"bandwidth": None}),
    ],
    "a share holds it down": [(5, {"share": 10 * MIB})],
    "it takes too long": [(0, {"timeout": timedelta(seconds=8)})],
    "it does not get on": [(0, {"progress_timeout": timedelta(seconds=6)})],
    "it does not get on, and shares are dealt out meanwhile": [
        (0, {"progress_timeout": timedelta(seconds=6)}),
        (5, {"share": 50 * MIB}),
        (8, {"share": 51 * MIB}),
    ],
    "it does not get on, but somebody still tries": [
        (0, {"progress_timeout": timedelta(seconds=6)}),
        (6, {"max_downtime": milliseconds(101)}),
    ],
    "it is aborted": [(6, {"state": DesiredState.ABORT})],
    "it is restarted": [(6, {"attempt": 2})],
    "it is restarted, then aborted": [(4, {"attempt": 2}), (5, {"state": DesiredState.ABORT})],
    "post-copy is ordered": [(5, {"technique": MigrationTechnique.POST_COPY})],
    "post-copy is ordered when the time is nearly over": [
        (0, {"timeout": timedelta(seconds=6)}),
        (5, {"technique": MigrationTechnique.POST_COPY}),
    ],
    "it is suspended": [(6, {"suspend": True})],
}


def wanted(schedule: Schedule, now: float) -> Desired:
    """What is wanted at a moment; each change is a revision."""
    desired = PLAIN
    for moment, changes in schedule:
        if moment <= now:
            revision = desired.revision + (1 if moment > 0 else 0)
            desired = desired.replace(**changes, revision=revision)
    return desired


class NotingJob(RecordedJob):
    """Notes what is asked of it."""

    def __init__(self, recording: Recording) -> None:
        super().__init__(recording)
        self.now = 0.0
        self.asked: list[tuple[float, str, object]] = []

    def set(self, change: Change) -> None:
        self.asked.append((self.now, str(change.parameter), change.value))

    def abort(self) -> None:
        self.asked.append((self.now, "abort", None))


def simulate(name: str, schedule: Schedule) -> tuple[Looks, list[tuple[float, str, object]], JobEnd | None]:
    """The reports after each look, and what was asked of the job."""
    job = NotingJob(recording(name))

    def start(_: Start) -> NotingJob:
        return job

    node = SourceNode(VM, start)
    looks: Looks = []
    number = 0
    while not node.attempts or node.attempts[0].end is None:
        job.now = number * EVERY
        node.look(wanted(schedule, job.now), now=job.now)
        looks.append(dict(node.report))
        number += 1
    return looks, job.asked, job.end


async def drive(name: str, schedule: Schedule) -> tuple[Looks, list[tuple[float, str, object]]]:
    """The same of the real agent."""
    found = recording(name)
    hypervisor = RecordedHypervisor(found, VM, every=EVERY)
    reported: dict[str, Any] = {}
    looks: Looks = []

    class Reports:
        def put(self, status: Mapping[str, Any]) -> None:
            reported.clear()
            reported.update(status)

        async def flush(self) -> None:
            pass

        settled = True

    status = SourceStatus(VMMigrationStatus(), Reports(), hypervisor.clock.now)
    status.begin(1)

    class Scheduled(Orders):
        @property
        def desired(self) -> Desired:
            return wanted(schedule, hypervisor.clock.seconds)

    attempt = real.Attempt(
        1,
        VM,
        hypervisor=hypervisor,
        status=status,
        orders=Scheduled(MIGRATION),
        changed=asyncio.Event(),
        reach=NetworkReach(),
        clock=hypervisor.clock,
        trace=Trace(lambda _: looks.append({})),
        every=0.0,
    )
    look = attempt._look

    async def noted() -> object:
        before = len(looks)
        end = await look()
        del looks[before:]
        looks.append(dict(reported))
        return end

    attempt._look = noted
    request = StartRequest(
        connect_uri="b",
        migration_uri=None,
        bandwidth=None,
        post_copy_bandwidth=None,
        post_copy=True,
        persistent=True,
        options=StartOptions(),
    )
    end = await attempt.start(request, wanted(schedule, 0))
    status.see(None if end.outcome == AttemptOutcome.COMPLETED else VM)
    status.end(end)
    looks.append(dict(reported))
    return looks, hypervisor.asked


def of_the_attempt(look: Mapping[str, Any]) -> dict[str, Any]:
    """What both report; what the host is, is told before an attempt."""
    vm = look.get("source", {}).get("vm", {})
    return {**look, "source": (vm.get("state"), vm.get("reason"))}


@pytest.mark.parametrize("name", TRACES)
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
async def test_both_report_and_ask_the_same_at_every_look(name, schedule):
    ours, asked_by_us, end = simulate(name, schedule)
    theirs, asked_by_them = await drive(name, schedule)
    assert asked_by_us == [each for each in asked_by_them if each[0] < end.time]
    while_it_runs = len(ours) - 1
    assert list(map(of_the_attempt, ours[:while_it_runs])) == list(
        map(of_the_attempt, theirs[:while_it_runs])
    )
    assert while_it_runs == pytest.approx(end.time / EVERY, abs=1.5)
    last, their_last = ours[-1]["attempts"][0], theirs[-1]["attempts"][0]
    assert (last["outcome"], last.get("error")) == (their_last["outcome"], their_last.get("error"))


def test_stalling_is_among_what_is_compared():
    looks, _, _ = simulate("nonconverging", SCHEDULES["nothing is changed"])
    assert any(
        each["type"] == "MigrationStalling" and each["status"] == "True"
        for look in looks
        for each in look.get("conditions", [])
    )
