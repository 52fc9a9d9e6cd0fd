"""All that there is to say of one migration."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kubectl_vmferry.views.bars import curve
from kubectl_vmferry.views.choices import choices
from kubectl_vmferry.views.conditions import meaning
from kubectl_vmferry.views.figures import clock, downtime, rate, seconds, size, span
from kubectl_vmferry.views.screen import block
from kubectl_vmferry.views.standing import name, phase, sentence, style
from kubectl_vmferry.views.timeline import timeline
from vmferry_api.migrations import Desired, SourceReport, TargetReport, VMMigration
from vmferry_api.policies import MigrationPolicySpec

_MARKS = {True: ("✔", "green"), False: ("✘", "red"), None: ("·", "dim")}


def description(migration: VMMigration, policy: MigrationPolicySpec | None, now: datetime) -> RenderableType:
    """The whole of it.

    Args:
        migration: The migration.
        policy: The policy in force, with overrides; None: not known.
        now: The time, in the time zone that times are shown in.
    """
    parts: list[RenderableType] = [_head(migration)]
    if not migration.status.is_over and migration.status.attempts:
        parts += [_titled("Now"), block(migration, policy, now)]
    parts += [_titled("Timeline"), _timeline(migration, now)]
    if migration.status.attempts:
        parts += [_titled("Attempts"), _attempts(migration, now)]
    parts += [_titled("Hosts"), _hosts(migration)]
    if migration.status.desired is not None:
        parts += [_titled("In force"), _in_force(migration, migration.status.desired)]
    parts += [_titled("Conditions"), _conditions(migration, now)]
    parts += [_titled("What you can do"), _choices(migration)]
    return Group(*parts)


def _titled(text: str) -> Text:
    return Text(f"\n{text}", style="bold underline")


def _grid(*, indent: int = 2) -> tuple[Table, Padding]:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    return table, Padding(table, (0, 0, 0, indent))


def _head(migration: VMMigration) -> RenderableType:
    spec, status = migration.spec, migration.status
    table, _ = _grid()
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("Migration", Text(name(migration), style="bold"))
    table.add_row("VM", f"{spec.vm}, {spec.source_node} → {spec.target_node}{_vm(migration)}")
    table.add_row("Phase", Text(phase(migration), style=style(migration)))
    said = sentence(migration)
    if said:
        table.add_row("", said)
    policy = status.policy
    if policy is not None:
        generation = f" (generation {policy.generation})" if policy.generation is not None else ""
        table.add_row("Policy", f"{policy.name}{generation}: {policy.why}")
    if spec.overrides is not None and spec.overrides.as_json():
        table.add_row("Overrides", ", ".join(_flat(spec.overrides.as_json())))
    if spec.storage != "Shared":
        table.add_row("Storage", str(spec.storage))
    return table


def _flat(values: dict[str, object], path: str = "") -> Iterator[str]:
    for field, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{path}{field}.")
        else:
            yield f"{path}{field}={value}"


def _vm(migration: VMMigration) -> str:
    source = migration.status.source
    vm = source.vm if source is not None else None
    if vm is None or vm.memory is None:
        return ""
    cpus = f", {vm.vcpus} vCPU{'s' if vm.vcpus != 1 else ''}" if vm.vcpus else ""
    written = f", writes {rate(source.dirty_rate)}" if source is not None and source.dirty_rate else ""
    return f" ({size(vm.memory)}{cpus}{written})"


def _timeline(migration: VMMigration, now: datetime) -> RenderableType:
    entries = timeline(migration)
    table, shown = _grid()
    table.add_column(style="dim", no_wrap=True)
    table.add_column(style="dim", justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for entry in entries:
        since = timedelta(seconds=int((entry.time - entries[0].time).total_seconds()))  # as the clock shows
        text = Text(entry.text, style=entry.style)
        if entry.because:
            text.append(f"\n  {entry.because}", style="not bold default")
        table.add_row(clock(entry.time, now), f"+{seconds(since)}", text)
    return shown


def _attempts(migration: VMMigration, now: datetime) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in ("#", "began", "took", "outcome", "downtime", "sent"):
        table.add_column(title, no_wrap=True)
    for each in migration.status.attempts:
        table.add_row(
            str(each.number),
            clock(each.start, now),
            span((each.end or now) - each.start),
            str(each.outcome or "runs"),
            downtime(each.downtime),
            size(each.transferred) if each.transferred is not None else "-",
        )
    progress = migration.status.progress
    parts: list[RenderableType] = [Padding(table, (0, 0, 0, 2))]
    if progress is not None and len(progress.recent) > 1:
        values = [each.needed_downtime.total_seconds() for each in progress.recent]
        first, last = progress.recent[0], progress.recent[-1]
        text = (
            f"  needed downtime from pass {first.memory_pass} to {last.memory_pass}: "
            f"{downtime(first.needed_downtime)} {curve(values)} {downtime(last.needed_downtime)}"
        )
        parts.append(Text(text))
    return Group(*parts)


def _hosts(migration: VMMigration) -> RenderableType:
    spec, status = migration.spec, migration.status
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("")
    table.add_column(f"{spec.source_node} (source)", overflow="fold")
    table.add_column(f"{spec.target_node} (target)", overflow="fold")
    source, target = status.source, status.target
    for title, here, there in (
        ("VM there", _state(source), _state(target)),
        ("libvirt", *(_text(each.libvirt_version if each else None) for each in (source, target))),
        ("QEMU", *(_text(each.qemu_version if each else None) for each in (source, target))),
        ("can do", _features(source), _features(target)),
        ("free memory", "-", size(target.free_memory) if target and target.free_memory else "-"),
        ("address", "-", _text(target.migration_uri if target else None)),
        ("says", *(_text(each.message if each else None) for each in (source, target))),
    ):
        if {here, there} != {"-"}:
            table.add_row(title, here, there)
    return Padding(table, (0, 0, 0, 2))


def _text(value: str | None) -> str:
    return value or "-"


def _state(report: SourceReport | TargetReport | None) -> str:
    if report is None:
        return "not heard of yet"
    vm = report.vm
    if vm is None:
        return "libvirt can't be asked" if report.unreachable else "nothing seen"
    state = f"{vm.state} ({vm.reason})" if vm.reason else str(vm.state)
    return f"{state}, as last seen: libvirt can't be asked" if report.unreachable else state


def _features(report: SourceReport | TargetReport | None) -> str:
    if report is None or report.features is None:
        return "-"
    return ", ".join(sorted(report.features)) or "nothing beyond pre-copy"


def _in_force(migration: VMMigration, desired: Desired) -> RenderableType:
    table, shown = _grid()
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    applied = migration.status.applied
    done = "not carried out yet"
    if applied is not None and applied.revision >= desired.revision:
        done = "carried out"
    table.add_row("revision", f"{desired.revision}, {done}: {desired.reason}")
    wanted = [f"{desired.technique}"]
    if desired.agent_downtime_ramp is not None:
        wanted.append(f"downtime raised by the agent up to {downtime(desired.agent_downtime_ramp.max)}")
    elif desired.max_downtime is not None:
        wanted.append(f"maxDowntime {downtime(desired.max_downtime)}")
    caps = [each for each in (desired.bandwidth, desired.share) if each is not None]
    wanted.append(f"at most {rate(min(caps))}" if caps else "as fast as the link carries")
    if desired.suspend:
        wanted.append("the guest paused")
    wanted.append("post-copy possible" if desired.post_copy_allowed else "post-copy not possible")
    table.add_row("parameters", ", ".join(wanted))
    for error in applied.errors if applied is not None else []:
        table.add_row("refused", Text(f"{error.parameter}: {error.message}", style="red"))
    return shown


def _conditions(migration: VMMigration, now: datetime) -> RenderableType:
    table, shown = _grid()
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    if not migration.status.conditions:
        table.add_row("", "none yet: has the operator seen it? kubectl vmferry doctor", "", "")
    for each in migration.status.conditions:
        meant = meaning(each, is_over=migration.status.is_over)
        mark, colour = _MARKS[meant.good]
        table.add_row(
            Text(mark, style=colour),
            f"{each.type}={each.status}",
            f"since {clock(each.last_transition_time, now)}",
            meant.text + (f": {meant.message}" if meant.message else ""),
        )
    return shown


def _choices(migration: VMMigration) -> RenderableType:
    table, shown = _grid()
    table.add_column(overflow="fold")
    for each in choices(migration):
        text = Text(f"{each.why}")
        if each.command:
            text.append(":\n  ")
            text.append(each.command, style="bold")
        table.add_row(text)
    return shown
