"""Sizes, rates and times as people read them."""

from datetime import datetime, timedelta

from vmferry_api.durations import format_duration

_UNITS = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))
_FEW = 10
_NEAR = timedelta(seconds=10)


def size(value: float) -> str:
    """Bytes, such as 535 MiB; with one decimal where that says something."""
    for name, unit in _UNITS:
        if value >= unit:
            number = value / unit
            return f"{number:.1f} {name}" if number < _FEW and unit > 2**20 else f"{number:.0f} {name}"
    return f"{value:.0f} B"


def rate(value: float) -> str:
    """Bytes per second, such as 50 MiB/s."""
    return f"{size(value)}/s"


def span(value: timedelta) -> str:
    """A time that has passed or is left, such as 2.4 s, 12 s, 1 m 5 s; never a negative one."""
    seconds = max(0.0, value.total_seconds())
    if seconds < _NEAR.total_seconds():
        return f"{seconds:.1f} s" if seconds % 1 else f"{seconds:.0f} s"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (rest, "s")]
    shown = [f"{number} {unit}" for number, unit in parts if number][:2]
    return " ".join(shown) or "0 s"


def seconds(value: timedelta) -> str:
    """The same in whole seconds, for what is shown anew each moment."""
    return span(timedelta(seconds=round(max(0.0, value.total_seconds()))))


def clock(moment: datetime, now: datetime) -> str:
    """The time of day in the time zone of `now`, with the date where that is another one."""
    here = moment.astimezone(now.tzinfo)
    return f"{here:%H:%M:%S}" if here.date() == now.date() else f"{here:%Y-%m-%d %H:%M:%S}"


def downtime(value: timedelta | None) -> str:
    """A downtime as the API writes it, to three digits of what matters; - where it is not known."""
    if value is None:
        return "-"
    if value >= timedelta(seconds=10):
        value = timedelta(seconds=round(value.total_seconds(), 1))
    return format_duration(value)
