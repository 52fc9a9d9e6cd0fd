"""Durations as the API writes them: `150ms`, `1.5s`, `2m30s`, `24h`."""

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from vmferry_api.bounds import within
from vmferry_api.schemas import Rule

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
PATTERN = "^([0-9]{1,6}([.][0-9]{1,3})?(ms|s|m|h))+$"
_PART = re.compile(r"([0-9]{1,6}(?:[.][0-9]{1,3})?)(ms|s|m|h)")
MAX_LENGTH = 20
LONGEST = timedelta(hours=8760)
"""What is longer is taken for this, and what is negative for none: so any of them can be added to any moment, and
what was measured by a clock that jumped can be written."""


def parse_duration(text: str) -> timedelta:
    """Read a duration such as `1m30s`, to the millisecond.

    Raises:
        ValueError: It is not one; the message shows how one is written.
    """
    if len(text) > MAX_LENGTH or not re.fullmatch(PATTERN[1:-1], text):
        raise ValueError(f"{text!r} is not a duration such as 150ms, 10s or 2m30s")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    return whole_milliseconds(timedelta(seconds=seconds))


def whole_milliseconds(value: timedelta) -> timedelta:
    """The value as it comes back from JSON, so that what is computed equals what was stored."""
    return timedelta(milliseconds=round(value.total_seconds() * 1000))


def format_duration(value: timedelta) -> str:
    """Write a duration with whole milliseconds, in the largest units that fit; negative ones as `0s`."""
    milliseconds = max(0, round(value.total_seconds() * 1000))
    seconds, milliseconds = divmod(milliseconds, 1000)
    if seconds == 0 and milliseconds:
        return f"{milliseconds}ms"
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}h" * (hours > 0) + f"{minutes}m" * (minutes > 0)
    if milliseconds:
        return text + f"{seconds}.{milliseconds:03}".rstrip("0") + "s"
    return text + f"{seconds}s" if seconds or not text else text


def _validate(value: Any) -> Any:  # noqa: ANN401 - whatever the JSON holds; pydantic checks the rest
    return parse_duration(value) if isinstance(value, str) else value


Duration = Annotated[
    timedelta,
    BeforeValidator(_validate),
    within(timedelta(0), LONGEST),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "maxLength": MAX_LENGTH}),
]


def is_duration(value: str) -> str:
    """The CEL expression of whether a value can be read; the same as parse_duration says of it."""
    return f"{value}.matches('{PATTERN}')"


def duration_rule(field: str, *, least: str = "0s", most: str = "168h", example: str = "10s") -> Rule:
    """The CEL rule of a duration field.

    One rule for form and range, without the schema's `pattern`: the API server evaluates CEL even where
    the pattern fails, and would add a conversion error to the one message that helps.
    """
    return Rule(
        rule=f"{is_duration('self')} && duration(self) >= duration('{least}')"
        f" && duration(self) <= duration('{most}')",
        message=f"{field} must be a duration such as {example}, from {least} to {most}",
    )
