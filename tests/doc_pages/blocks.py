"""The blocks of commands on a page, and how each is known to work.

A page with a line `<!-- run in a lab -->` or `<!-- run in a checkout -->` has its commands run, in order, by
tests/e2e/test_docs.py: in a lab that is up, or where there is none yet. Else, and for single blocks, a comment
before the block says why its commands are not run, `<!-- not run: needs two hosts -->`, or which test runs
them, `<!-- run by tests/unit/cli/test_documentation.py -->`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from markdown_it.token import Token

from github_markdown import parser

_SHELLS = {"console", "sh", "bash", "shell"}
_PROGRAMS = (
    r"(?:\.venv/bin/)?vmferry(?:-\w+)?|(?:\.venv/bin/)?kubectl(?:-vmferry)?|make|pip|uv|(?:\.venv/bin/)?python3?|pytest|curl|"
    r"helm|docker|podman|sysctl|systemctl|journalctl|virsh|nsenter|ss|eval|export|git|argocd|flux|promtool|sudo|apt|apt-get"
)
_COMMAND = re.compile(rf"^\s*(?:\$ \S|(?:{_PROGRAMS})(?:\s|$))", re.MULTILINE)
_PAGE = re.compile(r"^<!-- run in a (?P<place>\w+) -->$", re.MULTILINE)
_MARK = re.compile(r"<!-- (?:not run: (?P<why>.+?)|run by (?P<test>\S+)) -->\s*$", re.DOTALL)


class Place(StrEnum):
    """Where a page's commands are run."""

    LAB = "lab"
    """In a checkout, with a lab that is up and KUBECONFIG set."""
    CHECKOUT = "checkout"
    """In a checkout, without a lab; the page brings one up where it needs one, and takes it down."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block of commands."""

    page: str
    line: int
    text: str
    why_not: str | None = None
    """Why it is not run; None: it is."""
    test: str | None = None
    """The test that runs it, where that is not the runner of all pages."""

    @property
    def runs(self) -> bool:
        """Whether it is left to the runner."""
        return self.why_not is None and self.test is None


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command, and what the page shows of its output."""

    line: int
    text: str
    shown: tuple[str, ...] = ()


def place_of(text: str) -> Place | None:
    """Where a page says that its commands are run; None: each block says how it is known to work."""
    found = _PAGE.search(text)
    return Place(found["place"]) if found else None


def blocks(page: str, text: str) -> Iterator[Block]:
    """The blocks of commands on a page, fenced or indented."""
    before: Token | None = None
    for token in parser().parse(text):
        if token.type in {"fence", "code_block"} and _is_shell(token):
            mark = _MARK.search(before.content.strip()) if before and before.type == "html_block" else None
            yield Block(
                page=page,
                line=token.map[0] + 1 if token.map else 0,
                text=token.content,
                why_not=mark["why"] if mark else None,
                test=mark["test"] if mark else None,
            )
        before = token


def _is_shell(token: Token) -> bool:
    language = token.info.split()[0] if token.info.strip() else ""
    return language in _SHELLS or (not language and _COMMAND.search(token.content) is not None)


def commands(block: Block) -> Iterator[Command]:
    """The commands of a block, each with what is shown of its output; without any `$ ` it is one command."""
    lines = block.text.splitlines()
    if not any(line.startswith("$ ") for line in lines):
        yield Command(line=block.line, text=block.text)
        return
    place = 0
    while place < len(lines):
        end = _end_of_command(lines, place)
        after = next((n for n in range(end, len(lines)) if lines[n].startswith("$ ")), len(lines))
        yield Command(
            line=block.line + place + 1,
            text="\n".join([lines[place].removeprefix("$ "), *lines[place + 1 : end]]),
            shown=tuple(line for line in lines[end:after] if line.strip()),
        )
        place = after


def _end_of_command(lines: list[str], place: int) -> int:
    """The first line after a command, which may go on after a backslash or hold a here-document."""
    word = re.search(r"<<\s*'?(\w+)'?", lines[place])
    if word:
        return lines.index(word[1], place) + 1
    while lines[place].endswith("\\"):
        place += 1
    return place + 1
