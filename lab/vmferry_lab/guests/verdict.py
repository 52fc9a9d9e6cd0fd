"""What a guest's console proves: its memory is intact, it ran on one host at a time, and lost no tick."""

from dataclasses import dataclass
from itertools import pairwise

TICKS_A_LINE = 25
_BOOT = "B"
_FIELDS = 4
_SHOWN = 5
"""Problems that are told to people: one loss can show in every line after it."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The proof, or what is wrong."""

    ticks: int
    """How many the guest has counted (250 a second while it runs)."""
    pages_written: int
    problems: tuple[str, ...]
    errors: int = 0
    """Pages found to hold something else than what was last written there."""

    @property
    def intact(self) -> bool:
        """Whether the guest ran all the time, once, with its memory as it left it."""
        return not self.problems

    def __str__(self) -> str:
        """For people."""
        if self.problems:
            more = len(self.problems) - _SHOWN
            shown = [*self.problems[:_SHOWN], *([f"and {more} more"] if more > 0 else [])]
            return "NOT INTACT: " + "; ".join(shown)
        return (
            f"intact: {self.ticks} ticks without a gap, {self.pages_written} pages written, 0 memory errors"
        )


@dataclass(frozen=True)
class _Line:
    tick: int
    written: int
    errors: int
    rate: int


def verdict(console: str) -> Verdict:
    """Judge a console; a last line that is not whole yet is left out."""
    whole = console[: console.rfind("\n") + 1].splitlines()
    boots = whole.count(_BOOT)
    parsed = [(text, _parse(text)) for text in whole if text != _BOOT]
    lines = [line for _, line in parsed if line is not None]
    errors = max((line.errors for line in lines), default=0)
    problems = [f"garbled line {text[:40]!r}" for text, line in parsed if line is None]
    if boots != 1:
        problems.append(f"booted {boots} times")
    problems += [
        f"tick {after.tick} follows tick {before.tick}"
        for before, after in pairwise([_Line(0, 0, 0, 0), *lines])
        if after.tick != before.tick + TICKS_A_LINE
    ]
    if errors:
        problems.append(f"{errors} memory errors")
    if not lines:
        problems.append("has not run yet")
    return Verdict(
        ticks=lines[-1].tick if lines else 0,
        pages_written=lines[-1].written if lines else 0,
        problems=tuple(problems),
        errors=errors,
    )


def _parse(text: str) -> _Line | None:
    fields = text.split(" ")
    try:
        numbers = [int(field, 16) for field in fields]
    except ValueError:
        return None
    return _Line(*numbers) if len(numbers) == _FIELDS else None
