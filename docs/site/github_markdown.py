"""Pages are written as GitHub reads them (CommonMark with tables); MkDocs' Markdown wants blank lines besides."""

import re

from markdown_it import MarkdownIt

_STARTS = {
    "bullet_list_open",
    "code_block",
    "fence",
    "heading_open",
    "html_block",
    "ordered_list_open",
    "table_open",
}


def parser() -> MarkdownIt:
    """What reads a page as GitHub does."""
    return MarkdownIt("commonmark").enable("table")


def with_blank_lines(text: str) -> str:
    """The page with a blank line before each block that follows another one directly."""
    starts = {
        token.map[0]
        for token in parser().parse(text)
        if token.level == 0 and token.type in _STARTS and token.map is not None
    }
    lines: list[str] = []
    for number, line in enumerate(text.splitlines()):
        if number in starts and lines and lines[-1].strip():
            lines.append("")
        lines.append(line)
    return "\n".join(lines) + "\n"


def anchor(heading: str, separator: str = "-") -> str:
    """The anchor of a heading, as GitHub makes it; the separator is always GitHub's."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", separator)
