"""The pages that people read: what they link to, and the commands that they show."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


def pages() -> list[str]:
    """All of them, by their paths in the repository."""
    return sorted(str(path.relative_to(ROOT)) for path in _found())


def _found() -> Iterator[Path]:
    yield from ROOT.glob("*.md")
    yield from (ROOT / "docs").rglob("*.md")
