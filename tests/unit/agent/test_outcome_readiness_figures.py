from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmferry_agent.decisions.figures import progress
from vmferry_agent.decisions.outcome import GivenUp, ended
from vmferry_agent.decisions.readiness import not_ready
from vmferry_agent.hypervisor.port import Domain, HostFacts, Sample
from vmferry_api.migrations import AttemptOutcome, VMReport, VMState

GIB = 2**30


def domain(
    state: VMState = VMState.RUNNING, reason: str = "Booted", name: str = "db-1", uuid: str = "u"
) -> Domain:
    return Domain(name=name, uuid=uuid, state=state, reason=reason, memory=GIB, vcpus=1, persistent=True)


CANCELLED = GivenUp(outcome=AttemptOutcome.CANCELLED, reason="cancelled")


@pytest.mark.parametrize(
    ("seen", "given_up", "error", "outcome"),
    [
        (None, None, None, AttemptOutcome.COMPLETED),
        (None, None, "connection lost", AttemptOutcome.COMPLETED),
        (None, CANCELLED, None, AttemptOutcome.COMPLETED),
        (domain(VMState.SHUT_OFF, "Migrated"), None, "connection lost", AttemptOutcome.COMPLETED),
        (domain(), None, "refused", AttemptOutcome.FAILED),
        (domain(), CANCELLED, "aborted", AttemptOutcome.CANCELLED),
        (domain(VMState.SHUT_OFF, "Failed"), None, None, AttemptOutcome.FAILED),
        (domain(VMState.PAUSED, "PostCopyFailed"), None, "lost", None),
        (domain(VMState.PAUSED, "PostCopy"), CANCELLED, None, None),
    ],
)
def test_how_it_ended_is_read_from_the_domain_not_from_the_call(seen, given_up, error, outcome):
    end = ended(seen, given_up, error)
    assert (end.outcome if end else None) == outcome


def test_a_failure_tells_what_libvirt_said():
    assert ended(domain(), None, "no route (libvirt error 38)").error == "no route (libvirt error 38)"


VM = VMReport(name="db-1", uuid="u", memory=GIB, state=VMState.RUNNING)
FACTS = HostFacts(libvirt_version="9.0.0", qemu_version="7.2.0", free_memory=2 * GIB)


@pytest.mark.parametrize(
    ("named", "same", "free", "says"),
    [
        (None, None, 2 * GIB, None),
        (domain(VMState.SHUT_OFF, "Migrated"), domain(VMState.SHUT_OFF, "Migrated"), 2 * GIB, None),
        (domain(uuid="other"), None, 2 * GIB, "another one (UUID other)"),
        (domain(), domain(), 2 * GIB, "already has this VM, Running (Booted)"),
        (None, domain(VMState.PAUSED, "Migration"), 2 * GIB, "is receiving this VM in another migration"),
        (None, domain(VMState.SHUT_OFF, "Shutdown", name="old"), 2 * GIB, "under the name old"),
        (None, None, GIB // 2, "has 512Mi of memory free, db-1 needs 1Gi"),
    ],
)
def test_a_vm_can_come_unless_something_is_in_the_way(named, same, free, says):
    facts = HostFacts(libvirt_version="9.0.0", qemu_version="7.2.0", free_memory=free)
    found = not_ready(VM, "node-b", named=named, same=same, facts=facts)
    assert (found is None) if says is None else (says in found)


SAMPLES = st.builds(
    Sample,
    elapsed=st.just(timedelta(0)),
    memory_pass=st.integers(0, 50),
    remaining=st.integers(0, GIB),
    transferred=st.integers(0, 10 * GIB),
    total=st.just(GIB),
    bandwidth=st.one_of(st.none(), st.integers(0, GIB)),
    dirty_rate=st.one_of(st.none(), st.integers(0, GIB)),
    expected_downtime=st.one_of(st.none(), st.timedeltas(timedelta(0), timedelta(hours=1))),
    throttle=st.none(),
)


@given(st.lists(SAMPLES))
def test_the_percentage_never_falls_and_figures_of_the_first_pass_are_no_needed_downtime(several):
    before = None
    for sample in several:
        now = progress(sample, elapsed=timedelta(0), max_downtime=None, before=before, in_post_copy=False)
        assert 0 <= (before.percent if before else 0) <= now.percent <= 100
        if sample.memory_pass <= 1:
            assert now.needed_downtime is None
        before = now
