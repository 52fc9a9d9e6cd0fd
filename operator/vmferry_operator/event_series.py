"""Which Events are to be created or brought up to date: repetitions are counted in a series, as client-go does."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from vmferry_operator.decisions.events import Event

MOST_WAITING = 1000
"""So many Events may wait to be written, some 2 MB; what comes then is dropped."""
MOST_KNOWN = 5000
"""So many are remembered, to be counted if they come again; the oldest are forgotten first."""
UPDATE_EVERY = timedelta(seconds=10)
"""Between two writes of the count of one series."""
OVER_AFTER = timedelta(minutes=6)
"""A series without a repetition for so long is over: what comes then is a new Event (client-go's finishTime)."""
BURST = 50
"""So many new Events of one object at once …"""
REFILL = timedelta(seconds=10)
"""… and then one in so long (client-go's legacy correlator: 25 and 5 minutes)."""
_LONGEST_NAME = 230
"""Of an object, within that of an Event, which has at most 253 characters."""


@dataclass(frozen=True, kw_only=True)
class Regarding:
    """The object that an Event is about."""

    kind: str
    namespace: str
    """Empty: it is cluster-scoped, and its Events are in `default`, where the API server wants them."""
    name: str
    uid: str


@dataclass(kw_only=True, eq=False)
class Series:
    """One Event, and how often it came."""

    name: str
    regarding: Regarding
    related: Regarding | None
    event: Event
    first: datetime
    last: datetime
    count: int = 1
    exists: bool = False
    """Whether the API server has it."""
    write_after: datetime
    tries: int = 0
    """How often it could not be written since it last was."""


@dataclass
class _Allowance:
    """How many new Events an object may still have."""

    left: float
    as_of: datetime


@dataclass
class EventSeries:
    """Takes what happened, and says what is to be written when. Nothing in it has I/O or a clock."""

    dropped: int = 0
    """How many were not taken, since too many wait or their object has too many, or were refused."""
    _known: dict[object, Series] = field(default_factory=dict)
    """By what makes two of them the same, the oldest first."""
    _waiting: dict[str, Series] = field(default_factory=dict)
    """Those that the API server does not know as they are, by name."""
    _allowances: dict[str, _Allowance] = field(default_factory=dict)
    _newest: datetime | None = None

    def add(
        self, event: Event, regarding: Regarding, *, related: Regarding | None = None, now: datetime
    ) -> bool:
        """Take in what has happened.

        Returns:
            Whether it was taken; otherwise it is counted as dropped.
        """
        now = self._distinct(now)
        key = (regarding.uid, event.reason, event.action, "" if event.counted else event.note)
        known = self._known.get(key)
        if known is not None and now - known.last <= OVER_AFTER:
            known.count, known.last = known.count + 1, now
            self._waiting[known.name] = known
            return True
        if len(self._waiting) >= MOST_WAITING or not self._allowed(regarding.uid, now):
            self.dropped += 1
            return False
        new = Series(
            name=f"{regarding.name[:_LONGEST_NAME].rstrip('-.')}.{round(now.timestamp() * 1e6):x}",
            regarding=regarding,
            related=related,
            event=event,
            first=now,
            last=now,
            write_after=now,
        )
        self._make_room()
        self._known.pop(key, None)
        self._known[key] = self._waiting[new.name] = new
        return True

    def due(self, now: datetime) -> Series | None:
        """What is to be written now, the oldest first; None: nothing."""
        return next((each for each in self._waiting.values() if each.write_after <= now), None)

    def next_due(self) -> datetime | None:
        """When the next one is to be written; None: all is written."""
        return min((each.write_after for each in self._waiting.values()), default=None)

    def written(self, series: Series, count: int, *, now: datetime) -> None:
        """Take in that the API server has it, with this count."""
        series.exists, series.tries = True, 0
        series.write_after = now + UPDATE_EVERY
        if series.count == count:
            self._waiting.pop(series.name, None)

    def failed(self, series: Series, *, again: datetime) -> None:
        """Take in that it could not be written, and when to try again."""
        series.tries += 1
        series.write_after = again

    def vanished(self, series: Series) -> None:
        """Take in that the API server has it no more, where Events live for an hour: it is to be created again."""
        series.exists = False

    def refused(self, series: Series) -> None:
        """Take in that the API server will not have it; it is left alone, and counted as dropped."""
        self.dropped += 1
        series.tries = 0
        self._waiting.pop(series.name, None)

    def discard(self, until: datetime) -> None:
        """Forget what happened until then: it is another's to tell."""
        for name, series in list(self._waiting.items()):
            if series.last <= until:
                del self._waiting[name]
        self._known = {key: series for key, series in self._known.items() if series.last > until}

    def _distinct(self, now: datetime) -> datetime:
        """Later than any before, so that names differ and sort; with the microseconds that a MicroTime needs."""
        if self._newest is not None and now <= self._newest:
            now = self._newest + timedelta(microseconds=1)
        if now.microsecond == 0:
            now += timedelta(microseconds=1)
        self._newest = now
        return now

    def _allowed(self, uid: str, now: datetime) -> bool:
        had = self._allowances.get(uid) or _Allowance(BURST, now)
        left = min(float(BURST), had.left + (now - had.as_of) / REFILL)
        self._allowances[uid] = _Allowance(left - 1 if left >= 1 else left, now)
        return left >= 1

    def _make_room(self) -> None:
        """Forget the oldest; one that waits is written all the same."""
        while len(self._known) >= MOST_KNOWN:
            del self._known[next(iter(self._known))]
        while len(self._allowances) >= MOST_KNOWN:
            del self._allowances[next(iter(self._allowances))]
