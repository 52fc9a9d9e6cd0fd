"""Stands in for the source node: begins attempts as they are desired, and tells how they ended."""

from kubectl_vmferry.simulation.attempt import RunningAttempt, StartJob
from kubectl_vmferry.simulation.jobs import Job
from kubectl_vmferry.simulation.source_status import SourceStatus
from vmferry_api.migrations import Desired, SourceReport, VMMigrationStatus

SAMPLING = 0.5
"""Seconds between two looks (vmferry_agent.migrations.attempt.SAMPLING)."""


class SourceNode:
    """The source's agent and its host.

    Args:
        report: The VM as this node sees it before it starts.
        start_job: Starts a migration.
    """

    def __init__(self, report: SourceReport, start_job: StartJob) -> None:
        self._status = SourceStatus(report)
        self._start_job = start_job
        self._attempt: RunningAttempt | None = None
        self.jobs: list[Job] = []
        """One for each attempt."""

    @property
    def status(self) -> VMMigrationStatus:
        """The source agent's part of it."""
        return self._status.part

    @property
    def attempt(self) -> RunningAttempt | None:
        """The attempt that runs."""
        return self._attempt

    def look(self, desired: Desired, *, now: float) -> None:
        """Do what is missing, see what there is, and say so."""
        if self._attempt is None and desired.attempt > self._status.last_attempt:
            self._attempt = RunningAttempt(desired, status=self._status, start_job=self._start_job, now=now)
            self.jobs.append(self._attempt.job)
        if self._attempt is not None and self._attempt.look(desired, now=now):
            self._attempt = None
