"""How much an end of a link sends: tc's token bucket."""

_BURST = "256kb"
"""Several of the 64 KiB packets that the loopback and a veth take."""
_LATENCY = "50ms"
"""Of queue; what is more is dropped, and TCP slows down."""


def token_bucket(rate: int) -> list[str]:
    """The words that tc knows a rate by.

    Args:
        rate: Bytes per second.
    """
    return ["tbf", "rate", f"{rate * 8}bit", "burst", _BURST, "latency", _LATENCY]
