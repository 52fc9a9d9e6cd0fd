"""Links from a page to what is in the repository but not among the docs: it comes along with the site."""

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

DOCS = "docs"
OUTSIDE = "repository"
"""Where the site has what is not among the docs."""

_LINK = re.compile(r"(?<=\]\()(?P<path>[^)#:\s]+)(?=[)#])")


@dataclass(frozen=True)
class Repository:
    """The checkout that the docs are in."""

    root: Path

    def outside(self, pages: Iterable[str]) -> dict[str, str | Path]:
        """What pages, by their paths in the repository, link to outside of the docs, also by way of others.

        Returns:
            By its place in the site: the file, or for a directory a page that lists it.
        """
        found: dict[str, str | Path] = {}
        waiting = list(pages)
        while waiting:
            page = waiting.pop()
            for path in self._linked(page):
                place = self.place(path)
                if place in found or not place.startswith(OUTSIDE):
                    continue
                if (self.root / path).is_dir():
                    found[place] = _listing(path, self._files(path))
                    found |= {
                        self.place(f"{path}/{name}"): self.root / path / name for name in self._files(path)
                    }
                else:
                    found[place] = self.root / path
                    waiting += [path] if path.endswith(".md") else []
        return found

    def place(self, path: str) -> str:
        """Where the site has a file or a directory of the repository."""
        if path.startswith(f"{DOCS}/"):
            return path.removeprefix(f"{DOCS}/")
        return f"{OUTSIDE}/{path}/index.md" if (self.root / path).is_dir() else f"{OUTSIDE}/{path}"

    def rewritten(self, text: str, page: str) -> str:
        """A page's text, its links leading to their places in the site.

        Args:
            text: The text.
            page: Its path in the repository.
        """
        here = posixpath.dirname(self.place(page)) or "."
        return self._links(text, page, lambda path: posixpath.relpath(self.place(path), here))

    def path_of(self, place: str) -> str:
        """The path in the repository of what the site has there."""
        inside = place.removeprefix(f"{OUTSIDE}/")
        return f"{DOCS}/{place}" if inside == place else inside

    def _linked(self, page: str) -> list[str]:
        found: list[str] = []

        def remember(path: str) -> str:
            found.append(path)
            return path

        self._links((self.root / page).read_text(), page, remember)
        return found

    def _links(self, text: str, page: str, change: Callable[[str], str]) -> str:
        """The text with each link that leads to something in the repository changed, by its path there."""

        def changed(match: re.Match[str]) -> str:
            path = resolved(page, match["path"])
            inside = not path.startswith("..") and (self.root / path).exists()
            return change(path) if inside else match["path"]

        return _LINK.sub(changed, text)

    def _files(self, path: str) -> list[str]:
        return sorted(each.name for each in (self.root / path).iterdir() if each.is_file())


def resolved(page: str, link: str) -> str:
    """Where in the repository a link of a page leads; above it where it begins with `..`."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def _listing(path: str, names: Iterable[str]) -> str:
    return "\n".join([f"# {path}", "", *_items(names), ""])


def _items(names: Iterable[str]) -> Iterator[str]:
    yield from (f"- [{name}]({name})" for name in names)
