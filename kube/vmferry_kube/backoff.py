"""Delays between tries."""

import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Endless delays in seconds, doubling from `first` to `most`, each with full jitter.

    Jitter, because all agents lose the API server in the same second and must not come back in the same one.
    Iterating anew starts from the first delay again, as kopf's settings want it.
    """

    first: float = 0.5
    most: float = 10.0

    def __iter__(self) -> Iterator[float]:
        """The delays."""
        delay = self.first
        while True:
            yield random.uniform(delay / 4, delay)  # noqa: S311 - spreads load, keeps no secret
            delay = min(delay * 2, self.most)
