"""A finding: what was looked at, what is with it, and the cure."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"
    """It can't be known, or nobody needs it now."""
    WARNING = "warning"
    """Something will fail for some."""
    ERROR = "error"
    """Migrations can't work."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One of them."""

    level: Level
    subject: str
    message: str
    cure: str = ""


def ok(subject: str, message: str) -> Finding:
    """All is well."""
    return Finding(level=Level.OK, subject=subject, message=message)


def note(subject: str, message: str, cure: str = "") -> Finding:
    """Something to know."""
    return Finding(level=Level.NOTE, subject=subject, message=message, cure=cure)


def warning(subject: str, message: str, cure: str) -> Finding:
    """Something will fail for some."""
    return Finding(level=Level.WARNING, subject=subject, message=message, cure=cure)


def error(subject: str, message: str, cure: str) -> Finding:
    """Migrations can't work."""
    return Finding(level=Level.ERROR, subject=subject, message=message, cure=cure)
