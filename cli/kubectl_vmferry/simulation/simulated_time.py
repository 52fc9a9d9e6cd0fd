"""Simulated time: seconds since the migration was asked for, and the time of day that objects tell."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""When every simulated migration is asked for; any would do, but it must not be the clock's."""


def at(seconds: float) -> datetime:
    """The time of day of a moment."""
    return EPOCH + timedelta(seconds=seconds)
