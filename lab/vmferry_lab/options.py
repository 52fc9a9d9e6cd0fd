"""What the commands of `vmferry-lab` have in common: --dir, quantities, and errors in a line."""

import subprocess
from pathlib import Path

import click
from typing_extensions import override

from vmferry_api.quantities import parse_quantity
from vmferry_lab.errors import LabError
from vmferry_lab.lab import Lab


class Quantity(click.ParamType[int]):
    """A size or rate in bytes, such as 128Mi or 80M."""

    name = "quantity"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it."""
        try:
            return value if isinstance(value, int) else parse_quantity(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _choose(context: click.Context, _param: click.Parameter, directory: Path | None) -> Path | None:
    """Have the command work on the lab in this directory."""
    if directory is not None:
        context.obj = Lab(directory.absolute())
    return directory


class LabCommand(click.Group):
    """A group whose commands take --dir, too, and tell the lab's errors in a line, without a traceback."""

    @override
    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command, with --dir unless it has one of its own."""
        if all(param.name != "directory" for param in cmd.params):
            cmd.params.append(directory_option(expose_value=False))
        super().add_command(cmd, name)

    @override
    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (LabError, OSError, subprocess.SubprocessError) as error:  # TimeoutError is an OSError
            raise click.ClickException(str(error)) from error


def directory_option(*, expose_value: bool) -> click.Option:
    """--dir."""
    return click.Option(
        ["--dir", "directory"],
        type=click.Path(path_type=Path),
        help="The lab's directory. [env: VMFERRY_LAB_DIR]",
        callback=_choose,
        expose_value=expose_value,
    )
