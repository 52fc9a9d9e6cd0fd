"""Results as a picture: the needed and the granted downtime over time, a panel for each policy."""

import importlib.util
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kubectl_vmferry.simulation.results import Decided, Figures, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = {".png", ".svg"}
_WIDTH, _PANEL, _MARGINS = 10.0, 2.6, 0.9
"""Inches."""
_DOTS = 110
"""Per inch."""
_NEEDED, _GRANTED, _STEP, _STALL = "#1f5fa8", "#2e8b57", "#b22222", "#f6c35b"
_HEADROOM = 3.0
"""The scale goes on to so many times the highest value, which leaves room for the names of steps."""
_CROWDED = 0.02
"""Names of steps keep this part of the width between them."""
_UNLIKE = 20.0
"""Where one policy takes so many times as long as another, only a logarithmic scale of time shows both."""


class PlotError(Exception):
    """There is nothing to draw with; the message says what to install."""


def require_matplotlib() -> None:
    """Make sure that it is there, without the second that its import takes.

    Raises:
        PlotError: It is not.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise PlotError("--plot needs matplotlib: pip install 'vmferry[plot]'")


def draw(results: Sequence[Result], path: Path) -> None:
    """Write a picture, PNG or SVG by its name; all panels have the same axes, so that policies compare.

    Raises:
        OSError: It can't be written.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra, and slow to load

    figure = Figure(figsize=(_WIDTH, _PANEL * len(results) + _MARGINS), layout="constrained")
    panels = figure.subplots(len(results), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    _scale_time(panels[0], [max(1.0, result.outcome.t) for result in results])
    _scale_downtime(panels[0], results)
    for panel, result in zip(panels, results, strict=True):
        _panel(panel, result)
    panels[-1].set_xlabel("seconds since the migration was asked for")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper right", ncols=len(names), frameon=False, fontsize=9)
    figure.savefig(path, dpi=_DOTS, format=path.suffix[1:].lower(), metadata=_undated(path))


def _undated(path: Path) -> dict[str, None]:
    """The same results make the same file."""
    return {"Date": None} if path.suffix.lower() == ".svg" else {}


def _scale_time(panel: "Axes", ends: Sequence[float]) -> None:
    """Linear where that shows every policy, else logarithmic from the shortest one's end on."""
    from matplotlib.ticker import FuncFormatter, NullFormatter  # noqa: PLC0415

    if max(ends) > min(ends) * _UNLIKE:
        panel.set_xscale("symlog", linthresh=min(ends), linscale=1.5, subs=[2, 5])
        panel.xaxis.set_minor_formatter(NullFormatter())
        shortest = math.floor(min(ends))
        panel.set_xticks([0, shortest / 2, shortest, *_decades(shortest, max(ends))])
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.set_xlim(0, max(ends) * 1.02)


def _decades(after: float, end: float) -> list[int]:
    values = [digit * 10**power for power in range(9) for digit in (1, 3)]
    return [value for value in values if after * 1.5 < value <= end]


def _scale_downtime(panel: "Axes", results: Sequence[Result]) -> None:
    """Downtimes go from milliseconds to minutes: a logarithmic scale shows both."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # noqa: PLC0415

    values = [
        value
        for result in results
        for seen in result.course
        for value in (seen.needed_downtime, seen.max_downtime)
        if value
    ]
    least, most = min(values, default=0.1), max(values, default=1.0)
    panel.set_yscale("log")
    panel.set_ylim(least / 1.5, most * _HEADROOM)
    few = most / least < 100  # noqa: PLR2004 - two decades
    panel.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _duration(value)))
    panel.yaxis.set_minor_formatter(NullFormatter())


def _panel(panel: "Axes", result: Result) -> None:
    panel.set_title(_title(result), loc="left", fontsize=10, fontweight="bold")
    panel.set_ylabel("downtime")
    panel.grid(visible=True, alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)
    panel.axvspan(math.nan, math.nan, color=_STALL, alpha=0.35, lw=0, label="stalling")
    for stall in result.stalls:
        until = result.outcome.t if stall.end is None else stall.end
        panel.axvspan(stall.start, until, color=_STALL, alpha=0.35, lw=0)
    _course(panel, result, _GRANTED, "granted", lambda seen: seen.max_downtime)
    _course(panel, result, _NEEDED, "needed", lambda seen: seen.needed_downtime)
    panel.axvline(result.outcome.t, color="black", lw=1)
    _steps(panel, result.decisions)


def _steps(panel: "Axes", decisions: Sequence[Decided]) -> None:
    """A line for each decision, and its name beside it."""
    to_part_of_width = panel.transScale + panel.transLimits
    last = -math.inf
    for each in decisions:
        panel.axvline(each.t, color=_STEP, lw=0.9, ls=(0, (4, 3)))
        last = max(float(to_part_of_width.transform((each.t, 1.0))[0]), last + _CROWDED)
        panel.annotate(
            _name(each),
            (last, 1),
            xycoords="axes fraction",
            xytext=(2, -2),
            textcoords="offset points",
            rotation=90,
            va="top",
            fontsize=7.5,
            color=_STEP,
            bbox={"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.75},
        )


def _title(result: Result) -> str:
    outcome = result.outcome
    downtime = "" if outcome.downtime is None else f", downtime {_duration(outcome.downtime)}"
    return f"{result.policy}: {outcome.outcome} at {outcome.t:.1f} s{downtime}"


def _name(each: Decided) -> str:
    what = each.action if each.value is None else each.value
    if each.action == "restart":
        what = "restart"
    return what if each.step is None else f"{each.step}: {what}"


def _course(
    panel: "Axes", result: Result, colour: str, name: str, value: Callable[[Figures], float | None]
) -> None:
    """A line with steps, and with gaps where the value is not known."""
    times = [seen.t for seen in result.course]
    values = [value(seen) or math.nan for seen in result.course]
    panel.plot(times, values, color=colour, lw=1.6, drawstyle="steps-post", label=name)


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:g} s"
