"""Which operator leads: client-go's leader election, as a function of what was asked and answered, and a clock.

No two clocks are compared. Another's Lease counts as held for its duration from when a change of it was seen here;
the own one from before its renewal was asked for, and for less. So whoever leads stops before anybody else begins,
as long as the clocks run alike within the ratio of the two times.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

LEASE_DURATION = timedelta(seconds=10)
RENEW_DEADLINE = timedelta(seconds=7)
RETRY_PERIOD = timedelta(seconds=1)
"""With these a standby leads 11.2 s after a kill at the latest, and what it then has to ask for."""
JITTER = 1.2
"""By up to this factor whoever does not lead looks later than the retry period says (client-go's JitterFactor)."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The times of an election.

    Raises:
        ValueError: They don't fit together; the message says how they must.
    """

    lease_duration: timedelta = LEASE_DURATION
    """Whoever does not lead waits for so long after the last renewal that it has seen."""
    renew_deadline: timedelta = RENEW_DEADLINE
    """Whoever leads writes nothing any more so long after it began the last renewal that succeeded."""
    retry_period: timedelta = RETRY_PERIOD
    """Between two renewals, or two looks."""

    def __post_init__(self) -> None:
        if self.lease_duration % timedelta(seconds=1) or self.lease_duration < timedelta(seconds=1):
            raise ValueError("the lease duration must be of whole seconds: a Lease has no others")
        if self.renew_deadline >= self.lease_duration:
            raise ValueError("the renew deadline must be shorter than the lease duration")
        if self.retry_period * JITTER >= self.renew_deadline:
            raise ValueError(f"the renew deadline must be longer than {JITTER} retry periods")
        if self.retry_period <= timedelta(0):
            raise ValueError("the retry period must be longer than 0")


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a Lease says."""

    holder: str
    """Empty: nobody."""
    lasts: timedelta
    acquired: datetime | None
    renewed: datetime | None
    transitions: int


@dataclass(frozen=True, kw_only=True)
class Found:
    """A Lease as it is in the API server."""

    record: Record
    version: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to ask the API server for."""

    began: float
    write: Record | None = None
    """None: only read it."""
    version: str | None = None
    """The version that the write holds for; None: it creates the Lease."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One operator in the election. Times are seconds of its own clock, which never goes back."""

    identity: str
    timing: Timing
    seen: Record | None = None
    """The Lease as it was last seen to be held or not; kept when the Lease itself is gone."""
    seen_at: float = 0.0
    """When that was first seen."""
    version: str | None = None
    """The Lease's; None: there is none, or it is not known."""
    known: bool = False
    """Whether the Lease is as this has it, as far as is known."""
    renewed_at: float | None = None
    """When the last renewal was begun that succeeded; None: another has held the Lease since, or never."""
    looked_at: float | None = None
    """When the Lease was last seen, changed or not."""
    another_led_until: float | None = None
    """Until then, at least, another one led; None: that is not known of any."""

    def may_write_for(self, now: float) -> float:
        """For how many seconds what this operator decides may be written; 0: it does not lead."""
        if self.renewed_at is None:
            return 0.0
        return max(0.0, self.renewed_at + self.timing.renew_deadline.total_seconds() - now)

    def leads(self, now: float) -> bool:
        """Whether it does, as far as it may know."""
        return self.may_write_for(now) > 0

    def next_request(self, *, now: float, time: datetime) -> Request:
        """What to ask for now.

        Args:
            now: By the candidate's clock.
            time: What others are shown as the time of the renewal; nobody decides by it.
        """
        if not self.known or not self._is_free(now):
            return Request(began=now)
        return Request(began=now, write=self._claim(time), version=self.version)

    def release(self, *, now: float, time: datetime) -> Request | None:
        """What to ask for so that another one may lead at once; None: there is nothing to give back."""
        if not self.leads(now) or self.seen is None or self.version is None:
            return None
        released = replace(self.seen, holder="", lasts=timedelta(seconds=1), renewed=time)
        return Request(began=now, write=released, version=self.version)

    def answered(self, request: Request, found: Found | None, *, now: float) -> "Candidate":
        """Take in what came back; None: there is no Lease."""
        if found is None:
            return replace(self, version=None, known=True, renewed_at=None, looked_at=now)
        changed, own = found.record != self.seen, found.record.holder == self.identity
        renewed_at = self.renewed_at if own else None
        if own and request.write is not None:
            renewed_at = request.began
        until = self.another_led_until
        if changed and not own and request.write is None:
            # whoever wrote that did it after the look before; of the first one that is not known
            until = now if self.looked_at is None else self.looked_at
        return replace(
            self,
            seen=found.record,
            seen_at=now if changed else self.seen_at,
            version=found.version,
            known=True,
            renewed_at=renewed_at,
            looked_at=now,
            another_led_until=until,
        )

    def unanswered(self) -> "Candidate":
        """Take in that it was refused, since the Lease has changed, or that no answer came: look first."""
        return replace(self, known=False)

    def patience(self, now: float) -> float:
        """Seconds that a request may take: two fit into the time that is left to whoever leads."""
        most = self.timing.renew_deadline.total_seconds() / 2
        return min(most, self.may_write_for(now)) or most

    def pause(self, now: float, *, jitter: float) -> float:
        """Seconds until the next request, where there was an answer.

        Args:
            now: By the candidate's clock.
            jitter: From 1 to JITTER.
        """
        retry = self.timing.retry_period.total_seconds()
        if not self.known:
            return 0.0
        if self.leads(now):
            return retry
        if self._is_free(now):
            return 0.0
        return min(retry * jitter, self._free_at() - now)

    def _is_free(self, now: float) -> bool:
        """Whether it may be claimed: it is nobody's, this one's, or was not renewed for its duration."""
        if self.seen is None or self.seen.holder in ("", self.identity):
            return True
        return now >= self._free_at()

    def _free_at(self) -> float:
        lasts = self.seen.lasts if self.seen is not None else timedelta(0)
        return self.seen_at + lasts.total_seconds()

    def _claim(self, time: datetime) -> Record:
        """A new holder counts as a transition, the first one does not."""
        before = self.seen
        own = before is not None and before.holder == self.identity
        transitions = before.transitions if before is not None else 0
        return Record(
            holder=self.identity,
            lasts=self.timing.lease_duration,
            acquired=before.acquired if before is not None and own else time,
            renewed=time,
            transitions=transitions if before is None or own else transitions + 1,
        )
