"""Operators that elect one of them, by a Lease in a real API server, with the rights of the operator's account."""

import asyncio
from datetime import timedelta

import pytest
from awaited import PATIENCE, true
from kubernetes.client.exceptions import ApiException

from vmferry_kube.errors import NotLeadingError
from vmferry_kube.leases import OPERATOR_LEASE_NAME, LeaseObject
from vmferry_lab.controlplane.control_plane import OPERATOR
from vmferry_operator.decisions.election import Timing
from vmferry_operator.election import Election, new_identity

NAMESPACE = "vmferry-system"
QUICK = Timing(
    lease_duration=timedelta(seconds=8),
    renew_deadline=timedelta(seconds=6),
    retry_period=timedelta(seconds=0.2),
)


class Operator:
    """One that takes part, until it is stopped."""

    def __init__(self, client, lease):
        self.identity = new_identity()
        self.election = Election(
            LeaseObject(client, namespace=NAMESPACE, name=lease), identity=self.identity, timing=QUICK
        )
        self.seen = []
        self._task = asyncio.create_task(self.election.stand(another_led=self.seen.append))

    def leads(self):
        try:
            return self.election.may_write() > 0
        except NotLeadingError:
            return False

    async def stop(self):
        """As if it were killed."""
        self._task.cancel()
        await asyncio.wait({self._task})


@pytest.fixture
async def operators(control_plane, connected, leases):
    """Begins operators that elect one of them, by the Lease that they may write; there is none at first."""
    lease = OPERATOR_LEASE_NAME
    _remove(leases, lease)
    begun = []
    client = await connected(control_plane.kubeconfig(OPERATOR))

    def begin():
        begun.append(Operator(client, lease))
        return begun[-1]

    begin.lease = lease
    yield begin
    for each in begun:
        await each.stop()
    _remove(leases, lease)


def _remove(leases, name):
    try:
        leases.delete_namespaced_lease(name, NAMESPACE)
    except ApiException as error:
        if error.status != 404:
            raise


async def wins(operator):
    async with asyncio.timeout(PATIENCE):
        await operator.election.won()


async def loses(operator):
    async with asyncio.timeout(PATIENCE):
        await operator.election.lost()


async def test_the_first_one_creates_the_lease_and_leads_and_the_second_one_waits(operators, leases):
    first = operators()
    await wins(first)
    spec = leases.read_namespaced_lease(operators.lease, NAMESPACE).spec
    assert (spec.holder_identity, spec.lease_duration_seconds, spec.lease_transitions) == (
        first.identity,
        QUICK.lease_duration.total_seconds(),
        0,
    )
    second = operators()
    await true("the first one to be seen", lambda: len(second.seen) >= 3)
    assert (first.leads(), second.leads()) == (True, False)
    renewed = leases.read_namespaced_lease(operators.lease, NAMESPACE).spec
    assert renewed.renew_time > spec.renew_time
    assert renewed.acquire_time == spec.acquire_time


async def test_another_one_takes_over_from_one_that_is_gone(operators, leases):
    first = operators()
    await wins(first)
    second = operators()
    await true("the first one to be seen", lambda: second.seen)
    await first.stop()
    assert not second.leads()
    await wins(second)
    assert not first.leads(), "its time was over before"
    spec = leases.read_namespaced_lease(operators.lease, NAMESPACE).spec
    assert (spec.holder_identity, spec.lease_transitions) == (second.identity, 1)


async def test_a_lease_that_is_given_back_has_no_holder_and_is_another_s_at_once(operators, leases):
    first = operators()
    await wins(first)
    await first.stop()
    await first.election.release()
    assert not first.leads()
    assert not leases.read_namespaced_lease(operators.lease, NAMESPACE).spec.holder_identity
    second = operators()
    await wins(second)
    assert leases.read_namespaced_lease(operators.lease, NAMESPACE).spec.holder_identity == second.identity


async def test_a_label_on_the_lease_changes_nothing(operators, leases):
    first = operators()
    await wins(first)
    leases.patch_namespaced_lease(operators.lease, NAMESPACE, {"metadata": {"labels": {"touched": "yes"}}})
    before = leases.read_namespaced_lease(operators.lease, NAMESPACE).spec.renew_time
    await true(
        "a renewal",
        lambda: leases.read_namespaced_lease(operators.lease, NAMESPACE).spec.renew_time > before,
    )
    assert first.leads()
    assert leases.read_namespaced_lease(operators.lease, NAMESPACE).metadata.labels == {"touched": "yes"}


async def test_a_lease_that_was_given_to_another_one_by_hand_is_its(operators, leases):
    first = operators()
    await wins(first)
    leases.patch_namespaced_lease(operators.lease, NAMESPACE, {"spec": {"holderIdentity": "somebody"}})
    await loses(first)
    assert not first.leads()
    await wins(first)  # since somebody does not renew it


async def test_a_lease_that_is_deleted_is_created_again(operators, leases):
    first = operators()
    await wins(first)
    leases.delete_namespaced_lease(operators.lease, NAMESPACE)

    def there():
        return operators.lease in [
            each.metadata.name for each in leases.list_namespaced_lease(NAMESPACE).items
        ]

    await true("the Lease, and its holder", lambda: there() and first.leads())


async def test_of_several_that_begin_at_once_one_leads(operators):
    several = [operators() for _ in range(5)]
    await true("one to lead", lambda: any(each.leads() for each in several))
    await true("the others to see it", lambda: all(each.leads() or each.seen for each in several))
    assert [each.leads() for each in several].count(True) == 1
