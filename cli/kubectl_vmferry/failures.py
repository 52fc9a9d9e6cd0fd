"""What ends a command early: what happened, to which object, and what to do; and the exit codes."""

from difflib import get_close_matches

import click
from typing_extensions import override

NEGATIVE = 1
"""Exit code: what was asked was found out, and the answer is no; or it was refused."""
UNREACHABLE = 3
"""Exit code: there is no cluster to ask, or it does not answer."""
INTERRUPTED = 130
"""Exit code: Ctrl-C, as of every program that SIGINT ends."""

INTERRUPTED_WORDS = "interrupted; migrations that run go on without this command: kubectl vmferry watch -A"
"""The last line then, where none of them was seen."""
WRONG_USAGE = 2
"""Exit code: what was given can't be used."""


class Failure(click.ClickException):
    """A command can't do what it was asked to.

    Args:
        what: What happened, and to which object.
        cure: What to do about it, as a sentence's end or a command.
    """

    exit_code = NEGATIVE

    def __init__(self, what: str, cure: str = "") -> None:
        super().__init__(f"{what}; {cure}" if cure else what)


class UnreachableFailure(Failure):
    """There is no cluster to ask, or it does not answer."""

    exit_code = UNREACHABLE


class UnusableFailure(Failure):
    """What was given can't be used, and 1 would mean something else."""

    exit_code = WRONG_USAGE


class NotFoundFailure(Failure):
    """There is no such object."""


class ConflictFailure(Failure):
    """An object has this name already."""


class UnexpectedFailure(Failure):
    """A defect of the plugin's."""

    @override
    def format_message(self) -> str:
        return f"{self.message}; with VMFERRY_DEBUG=1 it shows where: please report that"


def did_you_mean(given: str, known: list[str]) -> str:
    """A suggestion for a name that nothing has; empty: none is near, and there is nothing to list."""
    near = get_close_matches(given, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    if not known:
        return ""
    few = ", ".join(sorted(known)[:5])
    left = len(known) - 5
    return f"there are: {few}" + (f", and {left} more" if left > 0 else "")
