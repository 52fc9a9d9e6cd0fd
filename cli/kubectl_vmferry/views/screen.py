"""The live watch: bars, downtimes, the next step and the forecast of each migration."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kubectl_vmferry.views.bars import bar, curve, log_part
from kubectl_vmferry.views.changes import taken
from kubectl_vmferry.views.figures import downtime, rate, seconds, size
from kubectl_vmferry.views.standing import SOMEBODY_IS_AWAY, name, phase, reason, sentence, stalling, style
from kubectl_vmferry.views.upcoming import expected_in_words, next_in_words
from vmferry_api.migrations import Progress, VMMigration
from vmferry_api.policies import MigrationPolicySpec

_WIDTH = 28
"""Columns of a bar."""
_ROWS = 8
"""What one migration takes at most, with the line before it."""

_WIDE = 110
"""From so many columns on a row has the VM and its nodes, too."""
_AROUND = 4
"""Rows that a table needs beside those of its migrations."""

Specs = Mapping[str, MigrationPolicySpec]
"""The policies in force, with overrides, by the uid of the migration."""


def screen(
    migrations: Sequence[VMMigration],
    specs: Specs,
    *,
    now: datetime,
    rows: int,
    columns: int = 120,
    note: str = "",
) -> RenderableType:
    """All of them: one below the other where they fit, else in a table with a row for each.

    Args:
        migrations: What to show.
        specs: Their policies.
        now: The time.
        rows: How many the terminal has.
        columns: How many the terminal has.
        note: What to say below, such as that the API server is away.
    """
    below = [Text(note, style="bold yellow")] if note else []
    if not migrations:
        return Group(Text("no migrations yet", style="dim"), *below)
    if len(migrations) * _ROWS <= rows or len(migrations) == 1:
        return Group(*(block(each, specs.get(each.metadata.uid), now) for each in migrations), *below)
    most = rows - _AROUND - len(below)
    return Group(overview(migrations, now, most=most, wide=columns >= _WIDE), *below)


def block(migration: VMMigration, policy: MigrationPolicySpec | None, now: datetime) -> RenderableType:
    """One migration in full."""
    lines = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
    lines.add_column(width=10, style="dim")
    lines.add_column(overflow="fold")
    progress = migration.status.progress
    if progress is not None:
        lines.add_row("  memory", _memory(progress, style(migration)))
        if progress.disk is not None and progress.disk.total:
            lines.add_row("  disks", _disks(progress))
        lines.add_row("  downtime", _downtimes(progress))
    for title, text in (
        ("  next", next_in_words(migration, policy, now)),
        ("  forecast", expected_in_words(migration, now)),
        ("  last", _last(migration, now)),
        ("  queue", migration.status.queue.message if migration.status.queue else ""),
        ("  state" if not migration.status.is_over else "  end", sentence(migration)),
    ):
        if text:
            lines.add_row(title, Text(text, style="bold yellow" if needs_attention(migration, text) else ""))
    return Group(_title(migration, now), lines, Text(""))


def needs_attention(migration: VMMigration, text: str) -> bool:
    """Whether what is told of where it stands is that somebody does not answer."""
    return reason(migration) in SOMEBODY_IS_AWAY and text == sentence(migration)


def _title(migration: VMMigration, now: datetime) -> Text:
    spec, status = migration.spec, migration.status
    title = Text()
    title.append(name(migration), style="bold")
    title.append(f"  {spec.vm}: {spec.source_node} → {spec.target_node}  ")
    title.append(phase(migration), style=style(migration))
    stalls = stalling(migration, now)
    if stalls:
        title.append(f"  {stalls}", style="bold yellow")
    if status.policy is not None:
        title.append(f"  by {status.policy.name}", style="dim")
    return title


def _memory(progress: Progress, colour: str) -> Text:
    text = Text()
    text.append(bar(progress.percent / 100, _WIDTH), style=colour)
    text.append(f" {progress.percent:>3} %  pass {progress.memory_pass}, sent {size(progress.transferred)}")
    if progress.bandwidth:
        text.append(f" at {rate(progress.bandwidth)}")
    if progress.dirty_rate:
        text.append(f", guest dirties {rate(progress.dirty_rate)} anew")
    if progress.throttle:
        text.append(f", slowed by {progress.throttle} %")
    return text


def _disks(progress: Progress) -> Text:
    disk = progress.disk
    if disk is None:
        return Text()
    copied = bar(disk.transferred / disk.total, _WIDTH)
    return Text(f"{copied} {size(disk.transferred)} of {size(disk.total)}")


def _downtimes(progress: Progress) -> Text:
    """The needed one as a bar on a logarithmic scale up to the longest one, with the granted one in it."""
    needed, granted = progress.needed_downtime, progress.max_downtime
    text = Text()
    if needed is None:
        text.append(" " * _WIDTH)
        text.append(f" needed: known from pass 2 on; granted {downtime(granted)}")
        return text
    values = [each.needed_downtime.total_seconds() for each in progress.recent]
    longest = max([needed.total_seconds(), *values, granted.total_seconds() if granted else 0.0])
    fits = granted is not None and needed <= granted
    cells = bar(log_part(needed.total_seconds(), longest), _WIDTH)
    place = round(log_part(granted.total_seconds(), longest) * (_WIDTH - 1)) if granted else None
    colour = "green" if fits else "yellow"
    if place is None:
        text.append(cells, style=colour)
    else:
        text.append(cells[:place], style=colour)
        text.append("┃", style="bold green")
        text.append(cells[place + 1 :], style=colour)
    text.append(f" needed {downtime(needed)}, granted {downtime(granted)}")
    if len(values) > 1:
        text.append(f"  {curve(values)}", style="dim")
    return text


def _last(migration: VMMigration, now: datetime) -> str:
    steps = migration.status.steps
    if not steps:
        return ""
    step = steps[-1]
    went = "" if step.outcome in {"Applied", "Pending"} else f": {step.outcome}"
    return f"{taken(step)}{went}, {seconds(now - step.time)} ago, because: {step.trigger}"


def overview(
    migrations: Sequence[VMMigration], now: datetime, *, most: int, wide: bool = True
) -> RenderableType:
    """A row for each, those that run first."""
    ordered = sorted(migrations, key=lambda each: (each.status.is_over, not each.status.attempts, name(each)))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, expand=True)
    table.add_column("migration", no_wrap=True)
    if wide:
        table.add_column("vm", no_wrap=True)
        table.add_column("from → to", no_wrap=True)
    for title in ("phase", "memory", "needed", "granted"):
        table.add_column(title, no_wrap=True)
    table.add_column("what happens", no_wrap=True, overflow="ellipsis", ratio=1)
    for each in ordered[: max(1, most)]:
        table.add_row(*_row(each, now, wide=wide))
    left = len(ordered) - max(1, most)
    return Group(table, Text(f"and {left} more", style="dim")) if left > 0 else table


def _row(migration: VMMigration, now: datetime, *, wide: bool) -> list[RenderableType]:
    spec, progress = migration.spec, migration.status.progress
    cells: list[RenderableType] = [name(migration)]
    if wide:
        cells += [spec.vm, f"{spec.source_node} → {spec.target_node}"]
    memory = f"{progress.percent:>3} %" if progress else ""
    if progress and wide:
        memory = f"{bar(progress.percent / 100, 10)} {memory}"
    return [
        *cells,
        Text(phase(migration), style=style(migration)),
        memory,
        downtime(progress.needed_downtime) if progress else "-",
        downtime(progress.max_downtime) if progress else "-",
        stalling(migration, now) or sentence(migration),
    ]
