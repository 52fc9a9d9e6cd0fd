"""The live watch, and what is due next."""

import io

import pytest
from migrations_shown import DESIRED, PROGRESS, at, condition, migration, policy, running, step, told
from rich.console import Console

from kubectl_vmferry.views.screen import screen
from kubectl_vmferry.views.upcoming import NOTHING_LEFT, expected_in_words, next_in_words

LADDER = policy(
    maxDowntime="100ms",
    steps=[
        {"after": {"stalled": "2s"}, "setMaxDowntime": "500ms"},
        {"after": {"passes": 9}, "switchToPostCopy": {}},
        {"after": {"elapsed": "5m"}, "suspend": {}},
        {"after": {"elapsedPerGiB": "20m"}, "abort": {}},
    ],
).spec


def text(migrations, *, rows=40, note="", specs=None, now=12.0):
    out = io.StringIO()
    console = Console(file=out, width=120, height=rows)
    console.print(screen(migrations, specs or {}, now=at(now), rows=rows, note=note))
    return out.getvalue()


def test_one_that_runs_shows_bars_downtimes_what_comes_next_and_the_forecast():
    stalls = condition("MigrationStalling", since=9)
    shown = text(
        [
            running(
                conditions=[stalls, condition("Reconciling", message="db-1 is moving")],
                steps=[step(10)],
                forecast={
                    "converges": False,
                    "floor": "1.2s",
                    "nextAction": "abort",
                    "nextTime": told(15),
                    "why": "flat",
                },
            )
        ]
    )
    for part in (
        "default/db-1-to-node-b  db-1: node-a → node-b  Running  stalling for 3 s  by patient",
        "█ ",
        " 62 %  pass 6, sent 400 MiB at 50 MiB/s, guest dirties 51 MiB/s anew",
        "┃",
        "needed 1.28s, granted 100ms",
        "next     abort in 3 s",
        "forecast does not end by itself: it tends to a stop of 1.2s (flat)",
        "last     step 1: setMaxDowntime 100ms → 500ms, 2 s ago, because: stalled for 2s",
        "state    db-1 is moving",
    ):
        assert part in shown.replace("░ ", "█ ")


def test_before_the_second_pass_nothing_is_known_of_the_needed_downtime():
    first = {**PROGRESS, "pass": 1, "recent": []}
    del first["neededDowntime"]
    assert "needed: known from pass 2 on; granted 100ms" in text([running(progress=first)])


def test_more_than_fit_are_shown_in_a_table_those_that_run_first():
    several = [
        migration({"phase": "Succeeded"}, name=f"done-{number}", uid=f"d{number}") for number in range(9)
    ]
    shown = text([*several, running()], rows=12)
    lines = [line for line in shown.splitlines() if "default/" in line]
    assert "db-1-to-node-b" in lines[0]
    assert "and " in shown
    assert "more" in shown
    assert len(shown.splitlines()) <= 12


def test_a_narrow_terminal_gets_fewer_columns():
    several = [running() for _ in range(9)]
    out = io.StringIO()
    console = Console(file=out, width=80)
    console.print(screen(several, {}, now=at(9), rows=20, columns=80))
    assert "default/db-1-to-node-b Running 62 % 1.28s 100ms" in " ".join(out.getvalue().split())
    assert "from" not in out.getvalue()


def test_that_an_agent_is_silent_stands_out():
    out = io.StringIO()
    silent = running(conditions=[condition("Reconciling", reason="AgentSilent", message="node-a is silent")])
    Console(file=out, width=80, force_terminal=True, color_system="standard", _environ={}).print(
        screen([silent], {}, now=at(9), rows=20)
    )
    assert "\x1b[1;33mnode-a is silent" in out.getvalue()


def test_what_hides_the_truth_is_told_below():
    assert "the API server can't be reached" in text([running()], note="the API server can't be reached")
    assert "no migrations yet" in text([])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "step 1: setMaxDowntime 100ms → 500ms, once it has stalled for 2s"),
        (
            {"desired": {**DESIRED, "maxDowntime": "500ms"}},
            "step 2: switchToPostCopy, once it comes to pass 9",
        ),
        ({"forecast": {"converges": True, "nextAction": "abort"}}, "abort as soon as a report calls for it"),
        ({"forecast": {"converges": True, "nextAction": "abort", "nextTime": told(3)}}, "abort now"),
        ({"phase": "Succeeded"}, ""),
        ({"attempts": None}, ""),
    ],
)
def test_the_next_step_is_the_first_one_that_is_not_behind(changes, words):
    assert next_in_words(running(**changes), LADDER, at(12)) == words


def test_a_ladder_that_is_used_up_is_told():
    spec = policy(maxDowntime="100ms", steps=[{"after": {"passes": 2}, "setMaxDowntime": "500ms"}]).spec
    at_the_top = running(desired={**DESIRED, "maxDowntime": "500ms"})
    assert next_in_words(at_the_top, spec, at(12)) == NOTHING_LEFT


@pytest.mark.parametrize(
    ("forecast", "words"),
    [
        ({"converges": True, "why": "falls"}, "ends by itself (falls)"),
        ({"converges": True, "completion": told(20), "why": "falls"}, "ends in about 8 s (falls)"),
        ({"converges": True, "completion": told(12), "why": "falls"}, "ends any moment (falls)"),
        (
            {
                "converges": False,
                "floor": "1.2s",
                "why": "needs 1.26s, +1.5% a pass over 5 passes; granted 1s",
            },
            "does not end by itself: it tends to a stop of 1.2s (needs 1.26s; granted 1s)",
        ),
        (
            {
                "converges": False,
                "floor": "1.2s",
                "why": "-1.5% a pass over 5 passes; granted 1s",
            },
            "does not end by itself: it tends to a stop of 1.2s (-1.5% a pass over 5 passes; granted 1s)",
        ),
        (None, ""),
    ],
)
def test_the_forecast_is_told_in_words(forecast, words):
    assert expected_in_words(running(forecast=forecast), at(12)) == words
