"""Which pages of a guest's memory have to be sent, along its addresses."""

from dataclasses import dataclass

ZERO_PAGE_COST = 9 / 4096
"""What a page of zeros costs on the wire, as part of a whole page: its address and a mark."""


@dataclass(frozen=True)
class Span:
    """A stretch of memory of which the same part is dirty everywhere."""

    start: float
    end: float
    """Addresses, in bytes."""
    share: float
    """From 0 to 1. Below 1 where pages are written at random: what is expected then."""

    @property
    def dirty(self) -> float:
        """Bytes that have to be sent."""
        return (self.end - self.start) * self.share

    def part(self, start: float, end: float) -> "Span":
        """What of it lies between two addresses; empty where nothing does."""
        start = max(self.start, start)
        return Span(start, max(start, min(self.end, end)), self.share)


class DirtyPages:
    """QEMU's dirty bitmap and the place that has been reached in it.

    The place matters: QEMU goes round the memory by its addresses, and takes the bits that the guest sets only at
    the next sync. What is left over from one pass and is written meanwhile has to be sent once, not twice.

    Args:
        memory: The guest's size in bytes; all of it is dirty at first.
        touched: From this address on it holds only zeros.
    """

    def __init__(self, memory: float, touched: float) -> None:
        self._touched = touched
        self._memory = memory
        self._place = 0.0
        self._spans = [Span(0.0, memory, 1.0)]
        self.remaining = memory

    @property
    def on_the_wire(self) -> float:
        """What all that remains would take on the wire, in bytes; pages of zeros take nearly nothing."""
        written = sum(span.part(0, self._touched).dirty for span in self._spans)
        return written + (self.remaining - written) * ZERO_PAGE_COST

    def send(self, budget: float) -> float:
        """Send from the place reached on, for at most so many bytes on the wire; returns those sent."""
        sent = 0.0
        while budget - sent > 1 and self.remaining > 1:
            sent += self._send_from_next_span(budget - sent)
        if self.remaining <= 1:
            self._spans, self.remaining = [], 0.0
        return sent

    def mark(self, start: float, length: float, share: float = 1.0) -> float:
        """Make this part of a stretch dirty, independent of what already is; returns the bytes newly so."""
        before = self.remaining
        self._spans = _merged(_over(self._spans, start, start + length, share))
        self.remaining = sum(span.dirty for span in self._spans)
        return self.remaining - before

    def _send_from_next_span(self, budget: float) -> float:
        span = next((each for each in self._spans if each.end > self._place), None)
        if span is None:
            self._place = 0.0
            return 0.0
        start = max(self._place, span.start)
        cost, limit = (1.0, self._touched) if start < self._touched else (ZERO_PAGE_COST, self._memory)
        end = min(span.end, limit, start + budget / (span.share * cost))
        self._place = end
        cleared = (end - start) * span.share
        self._spans = [
            piece
            for each in self._spans
            for piece in ((each.part(0, start), each.part(end, self._memory)) if each is span else (each,))
            if piece.end > piece.start
        ]
        self.remaining -= cleared
        return cleared * cost


def _over(spans: list[Span], start: float, end: float, share: float) -> list[Span]:
    """The spans with one more laid over them, in order."""
    pieces = []
    place = start
    for span in spans:
        before, inside, behind = span.part(0, start), span.part(start, end), span.part(end, span.end)
        if inside.end > inside.start:
            pieces += [Span(place, inside.start, share)]
            pieces += [Span(inside.start, inside.end, 1 - (1 - span.share) * (1 - share))]
            place = inside.end
        pieces += [before, behind]
    pieces.append(Span(place, end, share))
    return sorted((piece for piece in pieces if piece.end > piece.start and piece.share > 0), key=_start)


def _start(span: Span) -> float:
    return span.start


def _merged(spans: list[Span]) -> list[Span]:
    """The same with neighbours of one share made one."""
    merged: list[Span] = []
    for span in spans:
        last = merged[-1] if merged else None
        if last is not None and last.end == span.start and last.share == span.share:
            merged[-1] = Span(last.start, span.end, span.share)
        else:
            merged.append(span)
    return merged
