"""`kubectl vmferry simulate`: what policies would do."""

import math
import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from kubectl_vmferry.output.json_lines import json_lines
from kubectl_vmferry.output.picture import FORMATS, PlotError, draw, require_matplotlib
from kubectl_vmferry.output.table import tables
from kubectl_vmferry.parameters import Contents, Duration, Quantity, ReadFile
from kubectl_vmferry.policy_files import PolicyFileError, read_policies
from kubectl_vmferry.simulation.guests import Guest, Pattern
from kubectl_vmferry.simulation.prediction import allowed_time, describe, left_out, prediction_setting
from kubectl_vmferry.simulation.recording import RecordingError, read_recording
from kubectl_vmferry.simulation.replay import replay_setting
from kubectl_vmferry.simulation.results import OutcomeName, Result
from kubectl_vmferry.simulation.simulate import Setting, simulate
from vmferry_api.policies import MigrationPolicySpec

VM_STAYS = 3
"""Exit code: by at least one policy the VM does not get to its target."""
_STAYS = {OutcomeName.FAILED, OutcomeName.UNFINISHED, OutcomeName.NOT_ACCEPTED}
_WIDTH = 120
"""Columns where the output is no terminal."""
_LEAST_TIME, _MOST_TIME = timedelta(hours=1), timedelta(days=30)
_TIMES_OVER = 4
"""Unless `--until` says otherwise, so many times the whole memory could be sent, and each policy may go on for as
long as it would."""
_MOST_MEMORY = 64 * 2**40
_NEEDED = {
    "memory": "--memory",
    "dirty_rate": "--dirty-rate",
    "working_set": "--working-set",
    "bandwidth": "--bandwidth",
}
_OF_THE_MODEL = {
    "dirty_rate": "--dirty-rate",
    "working_set": "--working-set",
    "bandwidth": "--bandwidth",
    "used": "--used",
    "phase": "--phase",
    "until": "--until",
}

_GUEST: list[Callable[[Callable[..., None]], Callable[..., None]]] = [
    click.option(
        "--memory", type=Quantity(least=1, most=_MOST_MEMORY), help="The guest's memory, such as 16Gi."
    ),
    click.option("--used", type=Quantity(), help="Memory that holds more than zeros.  [default: all]"),
    click.option("--dirty-rate", type=Quantity(), help="What the guest writes, in bytes per second."),
    click.option("--working-set", type=Quantity(), help="The memory that it writes over and over."),
    click.option(
        "--pattern",
        type=click.Choice([each.value for each in Pattern]),
        default=Pattern.SEQUENTIAL.value,
        show_default=True,
        help="In which order it writes.",
    ),
    click.option(
        "--phase",
        type=click.FloatRange(0, 1),
        help="Where in its working set a sequential writer is at the start.  [default: a third]",
    ),
    click.option("--vcpus", type=click.IntRange(min=1), default=1, show_default=True),
    click.option(
        "--bandwidth", type=Quantity(least=1), help="What the network carries, in bytes per second."
    ),
    click.option(
        "--until",
        type=Duration(most=_MOST_TIME),
        help="Simulate so long at most.  [default: what the policies allow, or the time to send "
        "the memory 4 times, and an hour]",
    ),
]


_EXAMPLES = """\b
Examples:
  kubectl vmferry simulate --policy old.yaml --policy new.yaml --trace recorded.jsonl
  kubectl vmferry simulate --policy new.yaml --memory 16Gi \\
    --dirty-rate 500Mi --working-set 2Gi --bandwidth 1Gi
\b
Exit codes:
  0  the VM moves by every policy, or the trace was replayed
  1  a file can't be used
  2  the options are wrong
  3  by at least one policy the VM does not move
"""


def _guest_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_GUEST):
        command = option(command)
    return command


def _drawable(_context: click.Context, _option: click.Parameter, value: Path | None) -> Path | None:
    """Refuse what can't be drawn before anything is simulated."""
    if value is None:
        return None
    if value.suffix.lower() not in FORMATS:
        raise click.BadParameter(f"{value} must end in {' or '.join(sorted(FORMATS))}")
    try:
        require_matplotlib()
    except PlotError as error:
        raise click.ClickException(str(error)) from error
    return value


@click.command("simulate", short_help="What policies would do to a VM, without moving it.", epilog=_EXAMPLES)
@click.option(
    "--policy",
    "files",
    type=ReadFile(),
    multiple=True,
    required=True,
    metavar="FILE",
    help="YAML with MigrationPolicies; - is the standard input. Several times: side by side.",
)
@click.option("--trace", type=ReadFile(), metavar="FILE", help="Replay a recorded migration.")
@_guest_options
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="json: a line for each decision, and one for the outcome.",
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.png",
    callback=_drawable,
    help="Draw the needed and the granted downtime, as PNG or SVG.",
)
@click.pass_context
def simulate_command(
    context: click.Context,
    /,
    *,
    files: Sequence[Contents],
    trace: Contents | None,
    output: str,
    plot: Path | None,
    **guest: Any,  # noqa: ANN401 - the options of _GUEST, each of its own type
) -> None:
    """What policies would do: to a recorded migration (--trace), or to a model of one.

    The decisions are the operator's and the node agent's own. A recording is not changed by them: it tells what
    would be decided, and when. The model of QEMU's pre-copy tells what would happen.
    """
    try:
        policies = read_policies([(file.name, file.text()) for file in files])
        specs = [each.policy.spec for each in policies]
        setting, about = _replay(trace, guest) if trace else _prediction(guest, specs)
    except (PolicyFileError, RecordingError) as error:
        raise click.ClickException(str(error)) from error
    others = [each.policy for each in policies]
    results = [simulate(each.label, each.policy, setting, others=others) for each in policies]
    notes = [about]
    if trace is None:
        notes += [f"{each.label}: {note}" for each in policies for note in left_out(each.policy.spec)]
    if plot is not None:
        _plot(results, plot)
    _show(results, notes, output)
    if any(result.outcome.outcome in _STAYS for result in results):
        context.exit(VM_STAYS)


def _plot(results: Sequence[Result], path: Path) -> None:
    try:
        draw(results, path)
    except OSError as error:
        raise click.ClickException(f"{path} can't be written: {error.strerror}") from error


def _replay(trace: Contents, guest: dict[str, Any]) -> tuple[Setting, str]:
    """The setting that a recording makes, and what to say of it."""
    extra = [option for name, option in _OF_THE_MODEL.items() if guest[name] is not None]
    if extra:
        raise click.UsageError(f"--trace has its own guest and network; remove {', '.join(extra)}")
    recording = read_recording(trace.name, trace.text().splitlines())
    about = (
        f"Replay of {recording.name}: the recorded course is not changed by what is decided on it. Told is what "
        "would be decided, and when, up to the first decision that would have ended that course."
    )
    return replay_setting(recording, memory=guest["memory"], vcpus=guest["vcpus"]), about


def _prediction(guest: dict[str, Any], policies: Sequence[MigrationPolicySpec]) -> tuple[Setting, str]:
    """The setting of the model, and what to say of it."""
    missing = [option for name, option in _NEEDED.items() if guest[name] is None]
    if missing:
        raise click.UsageError(f"give --trace, or all of a guest: {', '.join(missing)} missing")
    link, until = guest.pop("bandwidth"), guest.pop("until")
    given = {name: value for name, value in guest.items() if value is not None}
    try:
        made = Guest(**given | {"pattern": Pattern(guest["pattern"])})
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if until is None:
        seconds = min(_TIMES_OVER * made.memory / link, _MOST_TIME.total_seconds())
        allowed = (allowed_time(each, made.memory) for each in policies)
        until = min(_LEAST_TIME + max(timedelta(seconds=math.ceil(seconds)), *allowed), _MOST_TIME)
    return prediction_setting(made, link=link, until=until.total_seconds()), describe(made, link)


def _show(results: Sequence[Result], notes: Sequence[str], output: str) -> None:
    """The results on the standard output; with JSON, what only people read goes to standard error."""
    if output == "json":
        for result in results:
            for line in json_lines(result):
                click.echo(line)
        ends = [f"{each.policy}: {each.outcome.outcome}: {each.outcome.why}" for each in results]
        notes = [*ends, *notes]
    else:
        console = Console(highlight=False)
        if not console.is_terminal and "COLUMNS" not in os.environ:
            console.width = _WIDTH
        for each in tables(results, console.width):
            console.print(each)
    for note in notes:
        click.echo(note, err=output == "json")
