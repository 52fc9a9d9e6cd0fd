"""Where text for people goes: with colours to a terminal, without to a pipe."""

import os

import click
from rich.console import Console, RenderableType

_WIDTH = 120
"""Columns where the output is no terminal."""


def console(*, stderr: bool = False) -> Console:
    """The standard output; no colours where it is no terminal, or where NO_COLOR is set."""
    made = Console(highlight=False, stderr=stderr, soft_wrap=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _WIDTH
    return made


def show(renderable: RenderableType) -> None:
    """Print it; in a pipe without the blanks that tables end their lines with."""
    made = console()
    if made.is_terminal:
        made.print(renderable)
        return
    with made.capture() as captured:
        made.print(renderable)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())
