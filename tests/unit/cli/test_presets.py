"""Each preset does to easy, busy, hopeless and huge guests what its description claims."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import pytest
from simulated_guests import GIB, MIB, PRESETS, preset

from kubectl_vmferry.simulation.guests import Guest
from kubectl_vmferry.simulation.prediction import prediction_setting
from kubectl_vmferry.simulation.results import OutcomeName, Result
from kubectl_vmferry.simulation.simulate import simulate
from vmferry_api.policies import MigrationPolicy, Technique

MONTH = 30 * 86_400
MOVES, STAYS = OutcomeName.SUCCEEDED, OutcomeName.FAILED
NAMES = [path.stem for path in PRESETS]
POST_COPY = {"must-complete", "post-copy"}
"""Who may use it."""
STARTS = 3
"""Seconds at most until libvirt has begun."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A guest, and what its network carries."""

    name: str
    guest: Guest
    link: float


EASY = Place(name="small", guest=Guest(memory=GIB, dirty_rate=1 * MIB, working_set=64 * MIB), link=GIB)
EASY_AND_HUGE = Place(
    name="quiet and huge", guest=Guest(memory=256 * GIB, dirty_rate=10 * MIB, working_set=GIB), link=GIB
)
BUSY = Place(name="busy", guest=Guest(memory=4 * GIB, dirty_rate=2 * GIB, working_set=430 * MIB), link=GIB)
"""Half a second is enough for it."""
HOPELESS = Place(
    name="hopeless", guest=Guest(memory=16 * GIB, dirty_rate=2 * GIB, working_set=8 * GIB), link=GIB
)
SLOW = Place(
    name="slow", guest=Guest(memory=2 * GIB, dirty_rate=200 * MIB, working_set=1500 * MIB), link=50 * MIB
)
HUGE = Place(
    name="huge", guest=Guest(memory=2048 * GIB, dirty_rate=4 * GIB, working_set=800 * GIB), link=3 * GIB
)


@cache
def by_preset(name: str, place: Place) -> Result:
    return result(preset(name), place)


def result(policy: MigrationPolicy, place: Place) -> Result:
    setting = prediction_setting(place.guest, link=place.link, until=MONTH)
    return simulate(policy.metadata.name, policy, setting)


def actions(found: Result) -> Sequence[str]:
    return [each.action for each in found.decisions]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", [EASY, EASY_AND_HUGE], ids=lambda place: place.name)
def test_by_every_preset_a_quiet_guest_moves_in_the_time_to_send_it_once(name: str, place: Place) -> None:
    found = by_preset(name, place)
    once = place.guest.memory / place.link
    assert found.outcome.outcome == MOVES
    assert once <= found.outcome.total_time <= once * 1.01 + STARTS
    assert found.outcome.downtime < 0.5
    assert set(actions(found)) <= {"setMaxDowntime"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a preset does to a guest."""

    preset: str
    place: Place
    outcome: OutcomeName
    seconds: tuple[float, float]
    """The total time lies between these."""
    downtime: float | None = None
    """At most; None: it stays."""
    why: str = ""
    """What its end is told to be."""


CASES = [
    Case(preset="balanced", place=BUSY, outcome=MOVES, seconds=(4, 10), downtime=0.5),
    Case(preset="gentle", place=BUSY, outcome=STAYS, seconds=(60, 600), why="given up after 3 tries"),
    Case(preset="legacy", place=BUSY, outcome=MOVES, seconds=(240, 256), downtime=0.5),
    Case(preset="minimal-downtime", place=BUSY, outcome=MOVES, seconds=(10, 60), downtime=0.5),
    Case(preset="must-complete", place=BUSY, outcome=MOVES, seconds=(4, 10), downtime=1),
    Case(preset="balanced", place=HOPELESS, outcome=MOVES, seconds=(40, 90), downtime=0.5),
    Case(preset="gentle", place=HOPELESS, outcome=STAYS, seconds=(60, 600), why="given up after 3 tries"),
    Case(
        preset="kubevirt-defaults",
        place=SLOW,
        outcome=STAYS,
        seconds=(300, 300 + STARTS),
        why="timeout: not done after 5m",
    ),
    Case(preset="legacy", place=HOPELESS, outcome=STAYS, seconds=(390, 430), why="for 2m30s"),
    Case(preset="minimal-downtime", place=HOPELESS, outcome=STAYS, seconds=(60, 90), why="pass 9 reached"),
    Case(preset="must-complete", place=HOPELESS, outcome=MOVES, seconds=(20, 40), downtime=1),
    Case(preset="post-copy", place=HOPELESS, outcome=MOVES, seconds=(40, 70), downtime=0.5),
    Case(preset="suspend-workload-if-needed", place=HOPELESS, outcome=MOVES, seconds=(60, 90), downtime=5),
    Case(preset="very-large-vms", place=HOPELESS, outcome=MOVES, seconds=(60, 90), downtime=5),
    Case(
        preset="nova-downtime-ladder",
        place=SLOW,
        outcome=STAYS,
        seconds=(1600, 1600 + STARTS),
        why="timeout: not done after 26m40s",
    ),
    Case(preset="balanced", place=HUGE, outcome=MOVES, seconds=(700, 3600), downtime=0.5),
    Case(preset="gentle", place=HUGE, outcome=STAYS, seconds=(2100, 7200), why="given up after 3 tries"),
    Case(preset="minimal-downtime", place=HUGE, outcome=STAYS, seconds=(1500, 3600), why="pass 9 reached"),
    Case(preset="must-complete", place=HUGE, outcome=MOVES, seconds=(700, 1500), downtime=1),
    Case(preset="post-copy", place=HUGE, outcome=MOVES, seconds=(1500, 2500), downtime=0.5),
    Case(
        preset="suspend-workload-if-needed",
        place=HUGE,
        outcome=STAYS,
        seconds=(1500, 3600),
        why="pass 10 reached",
    ),
    Case(preset="very-large-vms", place=HUGE, outcome=STAYS, seconds=(1500, 3600), why="pass 10 reached"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.preset}-{case.place.name}")
def test_a_preset_does_what_it_claims(case: Case) -> None:
    found = by_preset(case.preset, case.place)
    assert found.outcome.outcome == case.outcome
    assert case.seconds[0] <= found.outcome.total_time <= case.seconds[1]
    assert case.why in found.outcome.why
    if case.downtime is None:
        assert found.outcome.downtime is None
    else:
        assert found.outcome.downtime <= case.downtime
    assert case.preset in POST_COPY or "switchToPostCopy" not in actions(found)


def test_every_preset_is_in_the_table() -> None:
    assert {case.preset for case in CASES} == set(NAMES)


@pytest.mark.parametrize("name", ["minimal-downtime", "suspend-workload-if-needed", "very-large-vms"])
def test_ovirt_s_presets_take_all_their_rungs_however_long_a_pass_takes(name: str) -> None:
    taken = [each.step for each in by_preset(name, HUGE).decisions]
    assert taken == list(range(1, len(preset(name).spec.steps) + 1))


def test_novas_rungs_come_by_the_clock() -> None:
    rungs = [each.t for each in by_preset("nova-downtime-ladder", SLOW).decisions]
    assert rungs == [pytest.approx(150 * place, abs=STARTS) for place in range(1, 11)]


@pytest.mark.parametrize("place", [HOPELESS, HUGE], ids=lambda place: place.name)
def test_must_complete_ends_also_where_the_hosts_can_t_do_post_copy(place: Place) -> None:
    policy = preset("must-complete")
    objective = policy.spec.objective
    allowed = [each for each in objective.allow if each is not Technique.POST_COPY]
    spec = policy.spec.replace(objective=objective.replace(allow=allowed))
    found = result(policy.replace(spec=spec), place)
    assert found.outcome.outcome == MOVES
    assert "switchToPostCopy" not in actions(found)
