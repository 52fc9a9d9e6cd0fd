"""Results as a picture (SVG): the needed and the granted downtime over time, a panel for each policy."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from kubectl_vmferry.simulation.results import Figures, Result

_WIDTH, _PANEL, _LEFT, _TOP, _BOTTOM, _RIGHT = 900, 260, 70, 40, 40, 20
_FONT = 'font-family="sans-serif" font-size="12" fill="#444444"'
_NEEDED, _GRANTED, _INK, _MARK = "#1f77b4", "#2ca02c", "#444444", "#d62728"


def picture(results: Sequence[Result]) -> str:
    """An SVG document; all panels have the same scales, so that policies can be compared."""
    height = _PANEL * len(results)
    scale = _Scale(
        seconds=max([1.0, *(result.outcome.t for result in results)]),
        downtime=max([0.1, *(value for result in results for value in _downtimes(result))]),
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" {_FONT}>',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
    ]
    for number, result in enumerate(results):
        lines.append(f'<g transform="translate(0 {number * _PANEL})">')
        lines += _panel(result, scale)
        lines.append("</g>")
    return "\n".join([*lines, "</svg>", ""])


@dataclass(frozen=True, kw_only=True)
class _Scale:
    seconds: float
    downtime: float

    def x(self, seconds: float) -> float:
        return _LEFT + seconds / self.seconds * (_WIDTH - _LEFT - _RIGHT)

    def y(self, downtime: float) -> float:
        return _PANEL - _BOTTOM - downtime / self.downtime * (_PANEL - _TOP - _BOTTOM)


def _downtimes(result: Result) -> Iterator[float]:
    for each in result.course:
        yield from (value for value in (each.needed_downtime, each.max_downtime) if value is not None)


def _panel(result: Result, scale: _Scale) -> Iterator[str]:
    outcome = result.outcome
    title = f"{result.policy}: {outcome.outcome} at {outcome.t:.1f} s"
    yield f'<text x="{_LEFT}" y="22" font-weight="bold">{escape(title)}</text>'
    yield _label(_WIDTH - _RIGHT, 22, "needed downtime", _NEEDED, anchor="end")
    yield _label(_WIDTH - _RIGHT - 130, 22, "granted", _GRANTED, anchor="end")
    bottom, right = scale.y(0), scale.x(scale.seconds)
    yield f'<path d="M{_LEFT} {_TOP}V{bottom:.1f}H{right:.1f}" fill="none" stroke="{_INK}"/>'
    for part in (0.0, 0.25, 0.5, 0.75, 1.0):
        seconds, downtime = part * scale.seconds, part * scale.downtime
        yield _label(scale.x(seconds), bottom + 16, f"{seconds:.0f} s", _INK, anchor="middle")
        yield _label(_LEFT - 6, scale.y(downtime) + 4, f"{downtime * 1000:.0f} ms", _INK, anchor="end")
    for each in result.decisions:
        x = scale.x(each.t)
        what = escape(f"{each.t:.1f} s: {each.why}")
        yield f'<path d="M{x:.1f} {_TOP}V{bottom:.1f}" stroke="{_MARK}" stroke-dasharray="3 3">'
        yield f"<title>{what}</title></path>"
        name = str(each.step) if each.step is not None else each.action
        yield _label(x, _TOP - 4, name, _MARK, anchor="middle")
    yield _course(result, scale, _GRANTED, lambda seen: seen.max_downtime)
    yield _course(result, scale, _NEEDED, lambda seen: seen.needed_downtime)


def _course(result: Result, scale: _Scale, colour: str, value: Callable[[Figures], float | None]) -> str:
    points = [
        f"{scale.x(seen.t):.1f},{scale.y(height):.1f}"
        for seen in result.course
        if (height := value(seen)) is not None
    ]
    return f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _label(x: float, y: float, text: str, colour: str, *, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}">{escape(text)}</text>'
