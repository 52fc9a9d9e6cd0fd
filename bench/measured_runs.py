"""Migrations of the lab's workloads under given policies, measured; several pairs of hosts at once."""

import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from queue import Empty, SimpleQueue

from kubernetes import client, config

from vmferry_api import API_VERSION, GROUP, VERSION
from vmferry_api.migrations import AttemptOutcome, Phase, Storage, VMMigration
from vmferry_lab.guests.guest import Guest
from vmferry_lab.guests.image import TICKS
from vmferry_lab.guests.workloads import Workload
from vmferry_lab.lab import Lab
from vmferry_lab.until import until

LINK = 55_000_000
"""Bytes per second that a pair of hosts is joined by."""
NAMESPACE = "default"
CAP = 180.0
"""Seconds after which a migration that does not end is cancelled."""

Policies = Mapping[str, Mapping[str, object]]
"""Specs of MigrationPolicies by name."""
_numbers = count(1)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run that is wanted."""

    workload: Workload
    policy: str
    into_burst: float = 0.0
    """Seconds of a burst that have passed when it starts."""
    storage: Storage = Storage.SHARED


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one migration took."""

    job: Job
    phase: Phase
    seconds: float
    """From the start of the first attempt until the guest runs on the target and nothing remains."""
    downtime: float | None
    """Seconds, as libvirt tells it."""
    lost: float
    """Seconds of guest time: ticks that did not come."""
    sent: int
    """Bytes, over all attempts."""
    actions: Sequence[str]
    """The steps, each with its time."""
    attempts: int
    intact: bool
    trail: Sequence[str]
    """Why each step was taken."""

    @property
    def moved(self) -> bool:
        """Whether the VM is on the target."""
        return self.phase == Phase.SUCCEEDED


def median(runs: Sequence[Run], figure: Callable[[Run], float | None]) -> float:
    """The median of a figure; infinite for a run that did not get there."""
    return statistics.median(
        float("inf") if (value := figure(run)) is None or not run.moved else value for run in runs
    )


class Lanes:
    """Pairs of hosts, each with a link of its own, that runs are carried out on.

    Args:
        lab: Brought up with LINK.
        policies: What jobs name.
    """

    def __init__(self, lab: Lab, policies: Policies) -> None:
        self._lab = lab
        names = [host.name for host in lab.hosts]
        self._pairs = list(zip(names[::2], names[1::2], strict=True))
        self._api = client.CustomObjectsApi(config.new_client_from_config(str(lab.kubectl.kubeconfig)))
        for name, spec in policies.items():
            lab.kubectl.apply(
                {
                    "apiVersion": API_VERSION,
                    "kind": "MigrationPolicy",
                    "metadata": {"name": name},
                    "spec": spec,
                }
            )

    def run(self, jobs: Sequence[Job], done: Callable[[Run], None] = lambda _: None) -> list[Run]:
        """Carry all out, in as many lanes as there are; the longest ones are best given first."""
        waiting: SimpleQueue[Job] = SimpleQueue()
        for job in jobs:
            waiting.put(job)
        with ThreadPoolExecutor(len(self._pairs)) as pool:
            lanes = [pool.submit(self._lane, *pair, waiting, done) for pair in self._pairs]
            return [run for lane in lanes for run in lane.result()]

    def _lane(
        self, source: str, target: str, waiting: "SimpleQueue[Job]", done: Callable[[Run], None]
    ) -> list[Run]:
        runs: list[Run] = []
        while True:
            try:
                job = waiting.get_nowait()
            except Empty:
                return runs
            runs.append(self._measure(job, source, target))
            done(runs[-1])

    def _measure(self, job: Job, source: str, target: str) -> Run:
        workload = job.workload
        guest = self._lab.guest(f"{workload.name.lower()}-{next(_numbers)}")
        try:
            guest.start(self._lab.host(source), workload.spec(guest.name))
            with self._bursts(guest, workload):
                time.sleep(job.into_burst)  # the point of the burst that is asked for
                began, ticks = time.monotonic(), guest.verdict().ticks
                migration = self._migrate(guest, job, source, target)
                lost = time.monotonic() - began - (guest.verdict().ticks - ticks) / TICKS
            return self._told(guest, job, migration, lost)
        finally:
            guest.destroy(self._lab.hosts)

    def _migrate(self, guest: Guest, job: Job, source: str, target: str) -> VMMigration:
        body = {
            "apiVersion": API_VERSION,
            "kind": "VMMigration",
            "metadata": {"name": guest.name, "namespace": NAMESPACE},
            "spec": {
                "vm": guest.name,
                "sourceNode": source,
                "targetNode": target,
                "policyRef": {"name": job.policy},
                "storage": job.storage,
            },
        }
        self._api.create_namespaced_custom_object(GROUP, VERSION, NAMESPACE, "vmmigrations", body)
        try:
            until(f"{guest.name} to move", lambda: self._ended(guest.name), timeout=CAP, interval=0.2)
        except TimeoutError:
            self._api.patch_namespaced_custom_object(
                GROUP, VERSION, NAMESPACE, "vmmigrations", guest.name, {"spec": {"cancel": True}}
            )
            until(f"{guest.name} to be cancelled", lambda: self._ended(guest.name), timeout=60, interval=0.2)
        migration = self._get(guest.name)
        self._api.delete_namespaced_custom_object(GROUP, VERSION, NAMESPACE, "vmmigrations", guest.name)
        return migration

    def _get(self, name: str) -> VMMigration:
        return VMMigration.model_validate(
            self._api.get_namespaced_custom_object(GROUP, VERSION, NAMESPACE, "vmmigrations", name)
        )

    def _ended(self, name: str) -> bool:
        return self._get(name).status.is_over

    def _told(self, guest: Guest, job: Job, migration: VMMigration, lost: float) -> Run:
        status = migration.status
        if not status.attempts:
            said = "; ".join(f"{each.type}={each.status}: {each.message}" for each in status.conditions)
            raise RuntimeError(f"{guest.name} under {job.policy} has not started: {said}")
        first, last = status.attempts[0], status.attempts[-1]
        seconds = ((last.end or first.start) - first.start).total_seconds()
        if last.outcome == AttemptOutcome.COMPLETED:
            seconds = (last.start - first.start).total_seconds() + self._elapsed(migration)
        return Run(
            job=job,
            phase=status.phase or Phase.PENDING,
            seconds=seconds,
            downtime=None if last.downtime is None else last.downtime.total_seconds(),
            lost=lost,
            sent=sum(each.transferred or 0 for each in status.attempts),
            actions=[
                f"{(each.time - first.start).total_seconds():.1f} s: {each.action}" for each in status.steps
            ],
            attempts=len(status.attempts),
            intact=guest.verdict().intact,
            trail=[each.trigger for each in status.steps],
        )

    def _elapsed(self, migration: VMMigration) -> float:
        """QEMU's own time; the migrating call returns a second or two later, when the source's QEMU is gone."""
        uid, number = migration.metadata.uid, migration.status.attempts[-1].number
        (trace,) = self._lab.components.traces.glob(f"*_{uid}_{number}.jsonl")
        rows = [json.loads(line) for line in trace.read_text().splitlines()]
        (job,) = [row["v"] for row in rows if row.get("ev") == "job_completed"]
        return float(job["time_elapsed"]) / 1000

    @contextmanager
    def _bursts(self, guest: Guest, workload: Workload) -> Iterator[None]:
        """Change the guest's rate as the workload says, until it has moved."""
        if not workload.rates:
            yield
            return
        over = threading.Event()
        thread = threading.Thread(target=self._change_rates, args=(guest, workload, over), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _change_rates(self, guest: Guest, workload: Workload, over: threading.Event) -> None:
        began = time.monotonic()
        period = workload.rates[-1][0]
        for cycle in count():
            for after, rate in workload.rates:
                if over.wait(began + cycle * period + after - time.monotonic()):
                    return
                guest.set_rate(self._lab.hosts, rate)
