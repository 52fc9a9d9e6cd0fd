"""Results as tables: a column for each policy, a row for each moment at which one of them decides."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from kubectl_vmferry.simulation.results import Decided, OutcomeName, Result, Stall

_NONE = "-"
_GOOD = {OutcomeName.SUCCEEDED, OutcomeName.TRACE_ENDED}
_NAMES, _COLUMN = 14, 32
"""Columns of text: those of the rows' names, and what a policy needs at least."""
_GIB, _MIB = 2**30, 2**20


def tables(results: Sequence[Result], width: int) -> Iterator[Table]:
    """As many policies side by side as fit, and the rest below."""
    beside = max(1, (width - _NAMES) // _COLUMN)
    rows = -(-len(results) // beside)
    beside = -(-len(results) // rows)  # evenly: 3 and 3, not 4 and 2
    for start in range(0, len(results), beside):
        yield _table(results[start : start + beside])


def _table(results: Sequence[Result]) -> Table:
    shown = Table(box=box.SIMPLE_HEAD, show_header=True, pad_edge=False)
    shown.add_column("", no_wrap=True)
    for result in results:
        shown.add_column(Text(result.policy), overflow="fold")
    for moment in sorted({each.t for result in results for each in result.decisions}):
        decided = [[_decision(each) for each in result.decisions if each.t == moment] for result in results]
        shown.add_row(_seconds(moment), *(Text("\n".join(several)) for several in decided))
    if shown.row_count:
        shown.add_section()
    for name, cells in _summary(results):
        shown.add_row(name, *cells)
    return shown


def _summary(results: Sequence[Result]) -> Iterator[tuple[str, list[Text]]]:
    yield "outcome", [_outcome(result) for result in results]
    yield "total time", [_time(result.outcome.total_time) for result in results]
    yield "downtime", [_time(result.outcome.downtime) for result in results]
    yield "stalling at", [_stalls(result.stalls) for result in results]
    yield "passes", [Text(str(result.passes)) for result in results]
    yield "sent", [Text(_size(result.transferred)) for result in results]
    yield "why", [Text(result.outcome.why) for result in results]


def _decision(each: Decided) -> str:
    place = "" if each.step is None else f"step {each.step}: "
    value = "" if each.value is None else f" {each.value}"
    because = each.trigger or each.why
    return f"{place}{each.action}{value}\n  {because}"


def _outcome(result: Result) -> Text:
    outcome = result.outcome.outcome
    return Text(outcome, style="green" if outcome in _GOOD else "yellow")


def _stalls(stalls: Sequence[Stall]) -> Text:
    return Text(", ".join(_seconds(each.start) for each in stalls) or _NONE)


def _time(value: float | None) -> Text:
    if value is None:
        return Text(_NONE)
    return Text(f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s")


def _size(value: int) -> str:
    return f"{value / _GIB:.1f}Gi" if value >= _GIB else f"{value / _MIB:.0f}Mi"


def _seconds(value: float) -> str:
    return f"{value:.1f} s"
