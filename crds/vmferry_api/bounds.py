"""Values that are taken for the nearest one within bounds."""

from datetime import datetime, timedelta
from typing import TypeVar

from pydantic import AfterValidator

_Value = TypeVar("_Value", int, datetime, timedelta)


def within(least: _Value, most: _Value) -> AfterValidator:
    """Take what is less, or more, for the nearest value that may be told."""

    def nearest(value: _Value) -> _Value:
        # nearly all are within, and each figure of each status that is read comes by here
        return value if least <= value <= most else min(max(value, least), most)

    return AfterValidator(nearest)
