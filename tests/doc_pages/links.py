"""What a page links to, and what of it is not there."""

import re
from collections.abc import Iterator
from itertools import pairwise
from urllib.parse import unquote, urlsplit

from markdown_it.token import Token

from doc_pages import ROOT
from github_markdown import anchor, parser
from repository import resolved


def dead_links(page: str) -> Iterator[str]:
    """The links of a page, by its path in the repository, that lead nowhere in the repository."""
    for link in _links(parser().parse((ROOT / page).read_text())):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        path = resolved(page, unquote(parts.path)) if parts.path else page
        if path.startswith("..") or not (ROOT / path).exists():
            yield f"{link}: there is no {path}"
        elif parts.fragment and parts.fragment not in anchors(path):
            yield f"{link}: {path} has no heading for it; it has {', '.join(sorted(anchors(path)))}"


def anchors(page: str) -> set[str]:
    """The anchors of a page's headings; none where it is no page."""
    if not page.endswith(".md"):
        return set()
    tokens = parser().parse((ROOT / page).read_text())
    found: list[str] = []
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            text = "".join(each.content for each in inline.children or [])
            found.append(anchor(text))
    return {
        name if earlier == 0 else f"{name}-{earlier}"
        for place, name in enumerate(found)
        for earlier in [found[:place].count(name)]
    }


def _links(tokens: list[Token]) -> Iterator[str]:
    for token in tokens:
        if token.type == "html_block":
            yield from re.findall(r"""(?:src|href)=["']([^"']+)["']""", token.content)
        yield from (str(value) for name in ("href", "src") if (value := token.attrGet(name)) is not None)
        yield from _links(token.children or [])
