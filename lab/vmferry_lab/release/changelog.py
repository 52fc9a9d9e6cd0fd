"""CHANGELOG.md, as far as a release depends on it."""

import re

_HEADING = re.compile(r"^## \[(?P<version>[^]]+)\](?: - (?P<date>\d{4}-\d{2}-\d{2}))?$", re.MULTILINE)


def trouble(changelog: str, version: str) -> str:
    """Why this version can't be released, in words; empty: it can."""
    headings = {each["version"]: each for each in _HEADING.finditer(changelog)}
    heading = headings.get(version)
    if heading is None:
        return f"CHANGELOG.md has no section for {version}; it has {', '.join(headings) or 'none'}"
    if heading["date"] is None:
        return f"CHANGELOG.md gives {version} no date: its section begins with `## [{version}] - YYYY-MM-DD`"
    if not _body(changelog, heading).strip():
        return f"CHANGELOG.md says nothing of {version}"
    return ""


def _body(changelog: str, heading: re.Match[str]) -> str:
    following = _HEADING.search(changelog, heading.end())
    return changelog[heading.end() : following.start() if following else None]
