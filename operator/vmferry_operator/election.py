"""Takes part in the election of the operator that leads, by the Lease that is held by whoever does."""

import asyncio
import logging
import os
import random
import socket
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from kubernetes.aio.client import ApiException, V1Lease, V1LeaseSpec, V1ObjectMeta

from vmferry_kube.errors import NotLeadingError, UnavailableError
from vmferry_kube.leases import LeaseChangedError, LeaseObject, micro_time
from vmferry_operator.decisions.election import JITTER, Candidate, Found, Record, Request, Timing

_logger = logging.getLogger(__name__)

_RELEASE_TRIES = 3
_SINCE_BOOT = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
"""Goes on while the machine is suspended, which CLOCK_MONOTONIC does not."""


def new_identity() -> str:
    """Of this process: the Pod or host, and what tells it from others there and from those before it."""
    return f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}"


class Election:
    """One operator's part in it.

    Args:
        lease: The Lease. Its client must be one that may always write.
        identity: Of this process, among all that take part.
        timing: The election's times.
        clock: Seconds that never go back.
        now: The time, for others to read.
    """

    def __init__(
        self,
        lease: LeaseObject,
        *,
        identity: str,
        timing: Timing,
        clock: Callable[[], float] = _SINCE_BOOT,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._lease = lease
        self._another_led: Callable[[datetime], None] = lambda _: None
        self._clock = clock
        self._now = now
        self._metadata: V1ObjectMeta | None = None
        self._candidate = Candidate(identity=identity, timing=timing)
        self._led = asyncio.Event()
        self._lost = asyncio.Event()
        self._lost.set()
        self._failed = False
        self._resigned = False

    def may_write(self) -> float:
        """For how many seconds what is decided here may be written.

        Raises:
            NotLeadingError: It may not.
        """
        seconds = self._candidate.may_write_for(self._clock())
        if self._resigned or seconds <= 0:
            raise NotLeadingError
        return seconds

    async def won(self) -> None:
        """Wait until this operator leads."""
        await self._led.wait()

    async def lost(self) -> None:
        """Wait until it does not."""
        await self._lost.wait()

    async def stand(self, *, another_led: Callable[[datetime], None]) -> None:
        """Take part for ever: look at the Lease, claim it when it is free, renew it while it is held.

        Args:
            another_led: Told whenever it is seen that another one has led until some time.
        """
        self._another_led = another_led
        while True:
            self._tell()  # it may have slept through the deadline
            answered = await self._ask(self._next_request())
            self._tell()
            await asyncio.sleep(self._pause(answered=answered))

    async def release(self) -> None:
        """Give the Lease back, so that another one leads at once. `stand` and what writes must have ended."""
        self._resigned = True
        for _ in range(_RELEASE_TRIES):
            request = self._candidate.release(now=self._clock(), time=micro_time(self._now()))
            if request is None:
                return
            await self._ask(request)
            if not self._candidate.known:
                await self._ask(Request(began=self._clock()))

    def _next_request(self) -> Request:
        return self._candidate.next_request(now=self._clock(), time=micro_time(self._now()))

    def _pause(self, *, answered: bool) -> float:
        jitter = random.uniform(1, JITTER)  # noqa: S311 - spreads load, keeps no secret
        if answered:
            return self._candidate.pause(self._clock(), jitter=jitter)
        return self._candidate.timing.retry_period.total_seconds() * jitter

    async def _ask(self, request: Request) -> bool:
        """Send it and take in what comes back; whether there was an answer, if only that another was faster."""
        try:
            found = await self._send(request)
        except LeaseChangedError:
            self._candidate = self._candidate.unanswered()
            return True
        except (ApiException, UnavailableError) as error:
            self._candidate = self._candidate.unanswered()
            self._tell_failure(error)
            return False
        if self._failed:
            _logger.info("%s: asked for again, with success", self._lease)
        self._failed = False
        before = self._candidate
        self._candidate = before.answered(request, found, now=self._clock())
        self._tell_of_another(before)
        return True

    async def _send(self, request: Request) -> Found | None:
        within = self._candidate.patience(self._clock())
        if request.write is None:
            lease = await self._lease.read(within=within)
        else:
            known = self._metadata if request.version is not None else None
            lease = await self._lease.write(_spec(request.write), known, within=within)
        self._metadata = lease.metadata if lease is not None else None
        return _found(lease) if lease is not None else None

    def _tell(self) -> None:
        leads = self._candidate.leads(self._clock())
        now, before = (self._led, self._lost) if leads else (self._lost, self._led)
        before.clear()
        now.set()

    def _tell_of_another(self, before: Candidate) -> None:
        now = self._candidate
        holder = now.seen.holder if now.seen is not None else ""
        if holder != (before.seen.holder if before.seen is not None else ""):
            _logger.info("%s: %s leads", self._lease, holder or "nobody")
        if now.another_led_until is not None and now.another_led_until != before.another_led_until:
            ago = timedelta(seconds=self._clock() - now.another_led_until)
            self._another_led(self._now() - ago)

    def _tell_failure(self, error: Exception) -> None:
        said = f"{error.status} {error.reason}" if isinstance(error, ApiException) else str(error)
        level = logging.DEBUG if self._failed else logging.WARNING
        self._failed = True
        _logger.log(level, "%s: %s; trying on", self._lease, said)


def _spec(record: Record) -> V1LeaseSpec:
    return V1LeaseSpec(
        holder_identity=record.holder,
        lease_duration_seconds=round(record.lasts.total_seconds()),
        acquire_time=record.acquired,
        renew_time=record.renewed,
        lease_transitions=record.transitions,
    )


def _found(lease: V1Lease) -> Found:
    spec = lease.spec
    return Found(
        record=Record(
            holder=spec.holder_identity or "",
            lasts=timedelta(seconds=spec.lease_duration_seconds or 0),
            acquired=spec.acquire_time,
            renewed=spec.renew_time,
            transitions=spec.lease_transitions or 0,
        ),
        version=lease.metadata.resource_version,
    )
