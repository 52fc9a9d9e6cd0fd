"""How well the model predicts what QEMU 7.2 did: four recordings, and the medians of 425 measured migrations.

A recording does not tell where in its working set a guest was when it was migrated: that is fitted to the passes 2
to 4. How long the target took to start is taken from it. All the rest is predicted.
"""

import json
from dataclasses import dataclass, replace
from statistics import median

import pytest
from simulated_guests import BANDWIDTH, lab_guest, needed_by_pass, recording, samples, trace

from kubectl_vmferry.simulation.guests import Guest
from kubectl_vmferry.simulation.pre_copy import ModelJob
from vmferry_agent.decisions.changes import Change, Parameter
from vmferry_api.migrations import MigrationTechnique
from vmferry_api.policies import AutoConverge

LOOPBACK, SHAPED = 1e9, 55e6
PHASES = [place / 20 for place in range(20)]
FITTED = (2, 3, 4)


def recorded_needed(name: str) -> dict[int, float]:
    moments = recording(name).moments
    return needed_by_pass((each.time, each.sample) for each in moments if not each.in_post_copy)


def started_at(name: str) -> float:
    rows = map(json.loads, trace(name).read_text().splitlines())
    return next(row["t"] for row in rows if row.get("ev") == "iteration")


def recorded_guest(name: str) -> Guest:
    guest = json.loads(trace(name).read_text().splitlines()[0])["guest"]
    return lab_guest(guest["rate"], guest["hot_mib"], guest["cold_mib"])


def modelled(name: str, guest: Guest) -> ModelJob:
    return ModelJob(guest, link=LOOPBACK, bandwidth=BANDWIDTH, target_start=started_at(name))


def fitted_guest(name: str) -> Guest:
    """The recorded guest, where its first passes show that it was in its working set."""
    told = recorded_needed(name)

    def error(phase: float) -> float:
        predicted = needed_by_pass(samples(modelled(name, replace(guest, phase=phase)), until=9))
        return sum((predicted[each] / told[each] - 1) ** 2 for each in FITTED)

    guest = recorded_guest(name)
    return replace(guest, phase=min(PHASES, key=error))


@pytest.mark.parametrize("name", ["idle", "borderline"])
def test_a_recorded_guest_that_arrives_is_predicted_to_within_15_percent(name):
    guest = fitted_guest(name) if name == "borderline" else recorded_guest(name)
    running = modelled(name, guest)
    running.run_until(120)
    assert running.end.time == pytest.approx(recording(name).end.time, rel=0.15)


@pytest.mark.parametrize("name", ["borderline", "nonconverging", "postcopy"])
def test_the_needed_downtime_of_the_passes_is_predicted_to_within_15_percent(name):
    told = recorded_needed(name)
    predicted = needed_by_pass(samples(modelled(name, fitted_guest(name)), until=60))
    off = [abs(predicted[each] / told[each] - 1) for each in sorted(told.keys() & predicted.keys())]
    assert len(off) >= 3
    assert median(off) < 0.15


def test_a_recorded_guest_that_does_not_arrive_does_not_in_the_model_either():
    running = modelled("nonconverging", recorded_guest("nonconverging"))
    running.run_until(600)
    assert running.end is None


def test_a_recorded_post_copy_is_predicted_to_within_15_percent():
    running = modelled("postcopy", recorded_guest("postcopy"))
    read = recording("postcopy")
    running.run_until(next(each.time for each in read.moments if each.in_post_copy))
    running.set(Change(parameter=Parameter.POST_COPY_BANDWIDTH, value=BANDWIDTH))
    running.set(Change(parameter=Parameter.TECHNIQUE, value=MigrationTechnique.POST_COPY))
    running.run_until(60)
    assert running.end.time == pytest.approx(read.end.time, rel=0.15)


MEASURED_GUESTS = {
    "W1": lab_guest(1, 8, 88),
    "W2": lab_guest(48, 88, 8),
    "W3": lab_guest(80, 64, 32),
    "W6": lab_guest(80, 28, 60),
    "W6b": lab_guest(80, 44, 44),
    "W7": lab_guest(60, 300, 100, memory=512),
    "W8": lab_guest(45, 300, 100, memory=512),
}


@dataclass(frozen=True, kw_only=True)
class Way:
    """How the measured migrations were driven."""

    max_downtime: float = 0.3
    auto_converge: AutoConverge | None = None
    post_copy_after_first_pass: bool = False


GENTLE = Way(max_downtime=0.5, auto_converge=AutoConverge(initial=20, increment=10))
FIRM = Way(max_downtime=0.5, auto_converge=AutoConverge(initial=40, increment=30))
HARD = Way(max_downtime=0.5, auto_converge=AutoConverge(initial=90, increment=9))
PLAIN, BUDGET, LONG, POST_COPY = (
    Way(),
    Way(max_downtime=0.5),
    Way(max_downtime=0.9),
    Way(post_copy_after_first_pass=True),
)


def run(guest: str, way: Way, *, phase: float = 1 / 3, until: float = 180) -> ModelJob:
    running = ModelJob(
        replace(MEASURED_GUESTS[guest], phase=phase),
        link=SHAPED,
        bandwidth=BANDWIDTH,
        max_downtime=way.max_downtime,
        auto_converge=way.auto_converge,
    )
    for _, sample in samples(running, until=until):
        if way.post_copy_after_first_pass and sample.memory_pass > 1:
            running.set(Change(parameter=Parameter.TECHNIQUE, value=MigrationTechnique.POST_COPY))
    return running


@pytest.mark.parametrize(
    ("guest", "way", "seconds", "tolerance"),
    [
        ("W1", PLAIN, 2.4, 0.15),
        ("W2", PLAIN, 17.2, 0.15),
        ("W8", PLAIN, 46, 0.15),
        ("W2", BUDGET, 13.8, 0.15),
        ("W6", BUDGET, 2.7, 0.15),
        ("W6", LONG, 2.8, 0.15),
        ("W6b", LONG, 3.1, 0.15),
        ("W3", LONG, 4.0, 0.30),
        ("W2", GENTLE, 10.3, 0.15),
        ("W6", GENTLE, 2.9, 0.15),
        ("W7", GENTLE, 62, 0.15),
        ("W3", GENTLE, 14.3, 0.30),
        ("W6b", GENTLE, 9.2, 0.35),  # by phase 9.9 to 12.3 s: docs/simulation.md tells what is off
        ("W2", FIRM, 6.8, 0.15),
        ("W3", FIRM, 8.7, 0.15),
        ("W6b", FIRM, 7.4, 0.15),
        ("W7", FIRM, 34, 0.15),
        ("W2", HARD, 5.1, 0.15),
        ("W3", HARD, 5.3, 0.15),
        ("W6", HARD, 2.8, 0.15),
        ("W6b", HARD, 5.1, 0.15),
        ("W7", HARD, 21, 0.15),
        ("W8", HARD, 19.8, 0.15),
        ("W2", POST_COPY, 4.1, 0.15),
        ("W3", POST_COPY, 3.5, 0.15),
        ("W6", POST_COPY, 2.8, 0.15),
        ("W6b", POST_COPY, 3.1, 0.15),
        ("W7", POST_COPY, 14.3, 0.15),
        ("W8", POST_COPY, 14.1, 0.15),
    ],
)
def test_the_measured_total_times_are_predicted(guest, way, seconds, tolerance):
    running = run(guest, way)
    assert running.end.time == pytest.approx(seconds, rel=tolerance)
    if not way.post_copy_after_first_pass:
        assert running.end.downtime <= way.max_downtime * 1.1


@pytest.mark.parametrize(
    ("guest", "way"),
    [
        ("W3", PLAIN),
        ("W6", PLAIN),
        ("W6b", PLAIN),
        ("W7", PLAIN),
        ("W3", BUDGET),
        ("W7", BUDGET),
        ("W7", LONG),
    ],
)
def test_who_did_not_arrive_does_not_in_the_model(guest, way):
    assert run(guest, way).end is None


def test_near_the_edge_it_depends_on_where_the_writer_was():
    """W2 took 17.2 s at a limit of 300 ms and 8.8 s at 900 ms: both within what the places of its writer make."""
    for way, measured in ((PLAIN, 17.2), (LONG, 8.8)):
        ends = [run("W2", way, phase=phase).end.time for phase in PHASES[::4]]
        assert min(ends) < measured < max(ends)
