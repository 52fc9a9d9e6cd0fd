"""Sentences of bounded length about things whose number and names have no bound."""

from collections.abc import Sequence
from dataclasses import dataclass

MOST_LISTED = 3
LONGEST_ITEM = 110
LONGEST_NAME = 48
LONGEST_MESSAGE = 4096
"""Characters of a condition's message."""


@dataclass(frozen=True, kw_only=True)
class Clause:
    """Something said of several things, the nearest first."""

    intro: str
    items: Sequence[str]


def sentence(head: str, clauses: Sequence[Clause], *, most: int) -> str:
    """The head and what is said besides, with as many items of each clause, up to three, as keep it short enough.

    Args:
        head: Never shortened.
        clauses: One without items is left out.
        most: The length in characters that only a long head may exceed.
    """
    given = [clause for clause in clauses if clause.items]
    for count in range(MOST_LISTED, -1, -1):
        text = "; ".join([head, *(f"{each.intro}: {listed(each.items, count)}" for each in given)])
        if len(text) <= most:
            return text
    return head


def listed(items: Sequence[str], count: int = MOST_LISTED) -> str:
    """The first so many items, and how many more there are."""
    shown = [shortened(item, LONGEST_ITEM) for item in items[:count]]
    left = len(items) - len(shown)
    if not shown:
        return f"{left} not shown here"
    return ", ".join(shown) + (f", and {left} more" if left else "")


def shortened_name(name: str) -> str:
    """Its beginning, where it is very long, so that what is said of it still has room."""
    return shortened(name, LONGEST_NAME)


def shortened(text: str, most: int) -> str:
    """Its beginning, where it is longer than so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
