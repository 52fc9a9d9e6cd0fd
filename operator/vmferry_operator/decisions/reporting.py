"""How often agents report progress."""

from datetime import timedelta


def report_every(running: int, current: timedelta | None = None) -> timedelta:
    """How often each of so many running migrations reports: 50 writes a second in all.

    Each costs the API server 4 ms; and the longer a report waits, the later the planner decides.

    Args:
        running: How many there are.
        current: How often this one does; kept unless that is too often, or far too seldom, as each change is a
            revision.
    """
    steps = (0.25, 0.5, 1, 2, 4, 8)
    ideal = timedelta(seconds=next((each for each in steps if running <= 50 * each), 16))
    return current if current is not None and ideal <= current <= 4 * ideal else ideal


ALONE = report_every(1)
