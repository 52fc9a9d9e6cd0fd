"""Stands in for the source node: begins attempts as they are desired, and tells how they ended."""

from collections.abc import Mapping
from typing import Any

from kubectl_vmferry.simulation.attempt import RunningAttempt, StartJob
from kubectl_vmferry.simulation.jobs import Job
from kubectl_vmferry.simulation.simulated_time import at
from kubectl_vmferry.simulation.vms import HOST
from vmferry_agent.decisions.outcome import GivenUp
from vmferry_agent.hypervisor.port import Domain
from vmferry_agent.migrations.source_status import SourceStatus
from vmferry_api.migrations import Attempt, Desired, Progress, VMMigrationStatus


class SourceNode:
    """The source's agent and its host.

    Args:
        vm: The VM before it starts.
        start_job: Starts a migration.
    """

    def __init__(self, vm: Domain, start_job: StartJob) -> None:
        self._vm = vm
        self._start_job = start_job
        self._now = 0.0
        self._attempt: RunningAttempt | None = None
        self.jobs: list[Job] = []
        """One for each attempt."""
        self.report: Mapping[str, Any] = {}
        """What the agent says, as JSON."""
        self._status = SourceStatus(VMMigrationStatus(), self, lambda: at(self._now))
        self._status.describe(HOST, vm, name=vm.name, message=None)

    def put(self, status: Mapping[str, Any]) -> None:
        """Take what the agent reports; it is written when the simulation says so."""
        self.report = status

    async def flush(self) -> None:
        """Nothing to wait for."""

    @property
    def settled(self) -> bool:
        """What is put counts as written."""
        return True

    @property
    def attempts(self) -> list[Attempt]:
        """All attempts so far."""
        return self._status.attempts

    @property
    def progress(self) -> Progress | None:
        """How far the last attempt is."""
        return self._status.progress

    @property
    def attempt(self) -> RunningAttempt | None:
        """The attempt that runs."""
        return self._attempt

    @property
    def in_post_copy(self) -> bool:
        """Whether the VM runs on the target while its memory follows."""
        return self._attempt is not None and self._attempt.job.in_post_copy

    @property
    def given_up(self) -> GivenUp | None:
        """Why the agent has aborted the attempt that runs, if it has."""
        return self._attempt.given_up if self._attempt is not None else None

    def look(self, desired: Desired, *, now: float) -> None:
        """Do what is missing, see what there is, and say so."""
        self._now = now
        if self._attempt is None and desired.attempt > self._status.last_attempt:
            self._status.begin(desired.attempt)
            self._attempt = RunningAttempt(
                desired, vm=self._vm, status=self._status, start_job=self._start_job, now=now
            )
            self.jobs.append(self._attempt.job)
        if self._attempt is not None and self._attempt.look(desired, now=now):
            self._attempt = None
