"""What an operator makes of a Lease that can't be asked for, and of a clock that jumps."""

import asyncio
import logging
from datetime import timedelta
from types import SimpleNamespace

import pytest

from vmferry_kube.errors import NotLeadingError, UnavailableError
from vmferry_kube.leases import LeaseChangedError
from vmferry_operator.decisions.election import Timing
from vmferry_operator.election import Election, new_identity

PATIENCE = 30
EAGER = Timing(
    lease_duration=timedelta(minutes=2),
    renew_deadline=timedelta(minutes=1),
    retry_period=timedelta(seconds=0.02),
)


class Lease:
    """Stands for the one in the API server."""

    def __init__(self):
        self.away = False
        self.spec = None
        self.version = 0
        self.asked = asyncio.Semaphore(0)

    async def read(self, *, within):
        self._ask(within)
        return self._now()

    async def write(self, spec, known, *, within):
        self._ask(within)
        if (known.resource_version if known else "0") != str(self.version):
            raise LeaseChangedError
        self.spec, self.version = spec, self.version + 1
        return self._now()

    def _ask(self, within):
        self.asked.release()
        assert 0 < within <= EAGER.renew_deadline.total_seconds()
        if self.away:
            raise UnavailableError("of the test")

    def _now(self):
        metadata = SimpleNamespace(resource_version=str(self.version))
        return SimpleNamespace(spec=self.spec, metadata=metadata) if self.spec else None


class Clock:
    """The real one, and what it has jumped."""

    def __init__(self):
        self.jumped = 0.0

    def __call__(self):
        return asyncio.get_running_loop().time() + self.jumped


@pytest.fixture
async def standing():
    """A Lease, a clock, and an operator that leads by them."""
    lease, clock = Lease(), Clock()
    election = Election(lease, identity=new_identity(), timing=EAGER, clock=clock)
    task = asyncio.create_task(election.stand(another_led=lambda _: None))
    async with asyncio.timeout(PATIENCE):
        await election.won()
    yield SimpleNamespace(lease=lease, clock=clock, election=election, task=task)
    task.cancel()
    await asyncio.wait({task})


async def test_while_it_renews_it_may_write_and_when_it_can_not_it_stops_and_tries_on(standing, caplog):
    assert 0 < standing.election.may_write() <= 60
    standing.lease.away = True
    standing.clock.jumped = 60.0
    async with asyncio.timeout(PATIENCE):
        await standing.election.lost()
    with pytest.raises(NotLeadingError):
        standing.election.may_write()
    assert [each.levelno for each in caplog.records].count(logging.WARNING) == 1, "told once"
    standing.lease.away = False
    async with asyncio.timeout(PATIENCE):
        await standing.election.won()
    assert standing.lease.spec.lease_transitions == 0, "nobody else has led"


async def test_after_a_jump_of_the_clock_the_next_write_is_refused_before_anybody_has_looked(standing):
    standing.clock.jumped = 60.0
    with pytest.raises(NotLeadingError):
        standing.election.may_write()


async def test_once_it_gives_the_lease_back_it_may_not_write_whatever_comes_of_it(standing):
    standing.task.cancel()
    await asyncio.wait({standing.task})
    standing.lease.away = True
    await standing.election.release()
    with pytest.raises(NotLeadingError):
        standing.election.may_write()
    assert standing.lease.spec.holder_identity, "the API server has not heard of it"


async def test_a_release_that_meets_a_renewal_of_its_own_that_came_through_late_is_tried_again(standing):
    standing.task.cancel()
    await asyncio.wait({standing.task})
    standing.lease.version += 1
    await standing.election.release()
    assert standing.lease.spec.holder_identity == ""


def test_two_processes_of_one_host_or_pod_have_two_names(monkeypatch):
    monkeypatch.setenv("POD_NAME", "vmferry-operator-abc")
    names = {new_identity(), new_identity()}
    assert len(names) == 2
    assert all(each.startswith("vmferry-operator-abc_") for each in names)
