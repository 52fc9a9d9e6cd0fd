"""For which migrations nothing is left to try, and which will miss their deadline."""

from datetime import timedelta
from typing import Any

import pytest
from migrations_in_words import NOW, after, first_desired, migration, policy, running, source

from vmferry_api.migrations import Attempt, DesiredState, Forecast, Phase, StepRecord, VMMigrationStatus
from vmferry_api.migrations import VMState as State
from vmferry_operator.decisions.prospects import Expected, Prospects, prospects

CONVERGES = Forecast(converges=True, completion=after(100))
DOES_NOT = Forecast(converges=False)
RAISE = {"after": {"stalled": "10s"}, "setMaxDowntime": "500ms"}
ABORT = {"after": {"stalled": "10s"}, "abort": {}}
OBJECTIVE = {"maxDowntime": "500ms", "completeWithin": "60s"}


def told(
    status: VMMigrationStatus,
    *,
    at: float = 30,
    desired: dict[str, Any] | None = None,
    forecast: Forecast | None = DOES_NOT,
    **spec: object,
) -> Prospects | None:
    of = policy(**spec).spec
    wanted = first_desired(of).replace(**(desired or {}))
    known = status.replace(desired=wanted, forecast=forecast)
    return prospects(migration(known), of, now=after(at))


def stalling(**status: object) -> VMMigrationStatus:
    return running(stalling_since=10, **status)


@pytest.mark.parametrize(
    ("forecast", "expected"),
    [
        (None, Expected.TOO_EARLY),
        (CONVERGES, Expected.CONVERGES),
        (DOES_NOT, Expected.DOES_NOT_CONVERGE),
    ],
)
def test_what_the_forecast_says_is_told(forecast: Forecast | None, expected: Expected) -> None:
    found = told(running(), forecast=forecast)
    assert found is not None
    assert found.expected == expected


@pytest.mark.parametrize(
    "status",
    [
        VMMigrationStatus(),
        running(attempts=[Attempt(number=1, start=NOW, end=after(20))]),
        running(phase=Phase.FAILED),
    ],
)
def test_nothing_is_expected_where_no_attempt_runs(status: VMMigrationStatus) -> None:
    assert told(status) is None


STEP = StepRecord(time=NOW, trigger="t", action="setMaxDowntime 100ms → 500ms", revision=2)
AT_FULL = running().progress.replace(throttle=99)
PRESSING = running().progress.replace(throttle=40)
AT_LIMIT = running().progress.replace(max_downtime=timedelta(milliseconds=500))


@pytest.mark.parametrize(
    ("why", "status", "words", "nothing_left"),
    [
        ("no step", stalling(), {"maxDowntime": "100ms"}, True),
        ("it does not stall", running(), {"maxDowntime": "100ms"}, False),
        ("a step to come", stalling(), {"maxDowntime": "100ms", "steps": [RAISE]}, False),
        ("it is behind", stalling(), {"maxDowntime": "500ms", "steps": [RAISE]}, True),
        ("only the end", stalling(), {"maxDowntime": "100ms", "steps": [ABORT]}, True),
        ("one is under way", stalling(steps=[STEP]), {"maxDowntime": "500ms", "steps": [RAISE]}, False),
        ("it ends by itself", stalling(), {"maxDowntime": "1s", "forecast": CONVERGES}, False),
        ("in post-copy", stalling(source=source(State.PAUSED, "PostCopy")), {"maxDowntime": "1s"}, False),
        ("ramp goes on", stalling(), {"agentDowntimeRamp": {"max": "500ms"}}, False),
        ("ramp is over", stalling(progress=AT_LIMIT), {"agentDowntimeRamp": {"max": "500ms"}}, True),
        ("throttle rises", stalling(progress=PRESSING), {"start": {"autoConverge": {}}}, False),
        ("full throttle", stalling(progress=AT_FULL), {"start": {"autoConverge": {}}}, True),
        ("suspended", stalling(), {"maxDowntime": "1s", "desired": {"suspend": True}}, False),
        ("being aborted", stalling(), {"desired": {"state": DesiredState.ABORT}}, True),
    ],
)
def test_nothing_is_left_where_it_stalls_and_nothing_changes_that(
    why: str, status: VMMigrationStatus, words: dict[str, Any], nothing_left: bool
) -> None:
    found = told(status, **words)
    assert found is not None
    assert found.nothing_left == nothing_left, why


@pytest.mark.parametrize(
    ("next_action", "nothing_left"),
    [
        ("switchToPostCopy if not done by then", False),
        ("auto-converge presses harder", False),
        ("abort if not done by then", True),
        (None, True),
    ],
)
def test_what_an_objective_has_left_is_what_the_planner_says(
    next_action: str | None, nothing_left: bool
) -> None:
    found = told(stalling(), objective=OBJECTIVE, forecast=DOES_NOT.replace(next_action=next_action))
    assert found is not None
    assert found.nothing_left == nothing_left


@pytest.mark.parametrize(
    ("why", "words", "misses"),
    [
        ("there is none", {"maxDowntime": "100ms"}, False),
        ("in time", {"timeout": {"base": "2m"}, "forecast": CONVERGES}, False),
        ("its end is later", {"timeout": {"base": "99s"}, "forecast": CONVERGES}, True),
        ("it is over", {"timeout": {"base": "20s"}, "forecast": None}, True),
        ("too early", {"timeout": {"base": "99s"}, "forecast": None}, False),
        ("hopeless", {"timeout": {"base": "1h"}}, True),
        ("not hopeless yet", {"timeout": {"base": "1h"}, "steps": [RAISE], "maxDowntime": "100ms"}, False),
        ("an objective's", {"objective": OBJECTIVE, "forecast": CONVERGES}, True),
        (
            "an abort by the clock",
            {"steps": [{"after": {"elapsed": "60s"}, "abort": {}}], "forecast": CONVERGES},
            True,
        ),
        (
            "an abort by the clock and the VM's memory",
            {"steps": [{"after": {"elapsedPerGiB": "60s"}, "abort": {}}], "forecast": CONVERGES},
            True,
        ),
        (
            "post-copy by the clock ends it, too, but well",
            {"steps": [{"after": {"elapsed": "60s"}, "switchToPostCopy": {}}], "forecast": CONVERGES},
            False,
        ),
    ],
)
def test_a_deadline_is_missed_by_what_is_expected_now(why: str, words: dict[str, Any], misses: bool) -> None:
    found = told(running(), **words)
    assert found is not None
    assert found.misses_deadline == misses, why
