"""What a picture shows: read from the SVG, whose text is text."""

import re

import matplotlib as mpl
import pytest

from kubectl_vmferry.output.picture import draw
from kubectl_vmferry.simulation.results import Decided, Figures, Outcome, OutcomeName, Result, Stall


@pytest.fixture(autouse=True)
def _text_as_text(monkeypatch):
    monkeypatch.setitem(mpl.rcParams, "svg.fonttype", "none")
    monkeypatch.setitem(mpl.rcParams, "svg.hashsalt", "the same each time")


def result(name: str = "p", *, end: float = 30.0, decisions=(), course=None) -> Result:
    if course is None:
        course = [Figures(t=t, needed_downtime=1.3 if t > 2 else None, max_downtime=0.1) for t in range(30)]
    return Result(
        policy=name,
        decisions=list(decisions),
        outcome=Outcome(t=end, outcome=OutcomeName.SUCCEEDED, why="", total_time=end, downtime=0.25),
        stalls=[Stall(start=12, end=15), Stall(start=20)],
        passes=9,
        transferred=1,
        course=course,
    )


def step(
    t: float, number: int | None = 1, action: str = "setMaxDowntime", value: str | None = "150ms"
) -> Decided:
    return Decided(t=t, step=number, action=action, value=value, trigger="", why="")


def texts(path) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text())


def drawn(tmp_path, *results: Result) -> list[str]:
    path = tmp_path / "p.svg"
    draw(results, path)
    return texts(path)


def test_each_policy_has_a_panel_with_its_end_and_its_steps(tmp_path):
    decisions = [step(5), step(12, 2, "abort", None), step(20, None, "retry", None)]
    shown = drawn(tmp_path, result("one", decisions=decisions), result("two [a & b]", end=0.0))
    assert "one: Succeeded at 30.0 s, downtime 250 ms" in shown
    assert "two [a &amp; b]: Succeeded at 0.0 s, downtime 250 ms" in shown
    assert [each for each in shown if each in {"1: 150ms", "2: abort", "retry"}] == [
        "1: 150ms",
        "2: abort",
        "retry",
    ]
    assert {"needed", "granted", "stalling"} <= set(shown)


def test_a_restart_is_named_without_all_its_options(tmp_path):
    shown = drawn(tmp_path, result(decisions=[step(5, 1, "restart", '{"autoConverge":{"initial":90}}')]))
    assert "1: restart" in shown


def test_the_needed_downtime_need_not_be_known(tmp_path):
    unknown = [Figures(t=0, needed_downtime=None, max_downtime=None)]
    assert "p: Succeeded at 3.0 s, downtime 250 ms" in drawn(tmp_path, result(end=3, course=unknown))
    assert "p: Succeeded at 3.0 s, downtime 250 ms" in drawn(tmp_path, result(end=3, course=[]))


def test_ends_that_are_far_apart_share_a_logarithmic_axis(tmp_path):
    shown = drawn(tmp_path, result(end=25), result(end=3600))
    assert {"0", "12.5", "25", "100", "1000", "3000"} <= set(shown)


def test_the_same_results_make_the_same_picture(tmp_path):
    for name in ("a.svg", "b.svg"):
        draw([result(decisions=[step(5)])], tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_policy_of_many_steps_keeps_their_names_apart(tmp_path):
    shown = drawn(tmp_path, result(decisions=[step(5 + n / 100, n, value=f"{n}ms") for n in range(1, 9)]))
    assert sum(each.endswith("ms") and ":" in each and "p:" not in each for each in shown) == 8
