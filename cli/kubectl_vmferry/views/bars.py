"""Bars and curves made of block characters."""

import math
from collections.abc import Sequence

_EIGHTHS = " ▏▎▍▌▋▊▉"
_HEIGHTS = "▁▂▃▄▅▆▇█"
_LEAST_SPAN = 0.25
"""Of the highest value: what the scale of a curve spans at least, so that noise does not fill it."""
_DECADES = 3.0
"""What the scale of downtimes spans: from a thousandth of the longest to the longest."""


def bar(part: float, width: int) -> str:
    """A bar that is so far full; a part beyond 0 to 1 is taken as that."""
    eighths = round(min(1.0, max(0.0, part)) * width * 8)
    full, rest = divmod(eighths, 8)
    text = "█" * full + (_EIGHTHS[rest] if rest else "")
    return text.ljust(width, "░")


def log_part(value: float, longest: float) -> float:
    """Where a value stands on a logarithmic scale that ends at the longest."""
    if value <= 0 or longest <= 0:
        return 0.0
    return min(1.0, max(0.0, 1 + (math.log10(value) - math.log10(longest)) / _DECADES))


def curve(values: Sequence[float]) -> str:
    """A character for each value, on a scale from the lowest to the highest."""
    lowest, highest = min(values, default=0.0), max(values, default=0.0)
    span = max(highest - lowest, highest * _LEAST_SPAN)
    if span <= 0:
        return _HEIGHTS[0] * len(values)
    return "".join(_HEIGHTS[round((value - lowest) / span * (len(_HEIGHTS) - 1))] for value in values)
