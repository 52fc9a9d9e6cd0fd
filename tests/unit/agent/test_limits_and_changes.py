from datetime import timedelta

import pytest
from desired_parameters import desired

from vmferry_agent.decisions.changes import Change, Parameter, at_start, bandwidth, changes, when_adopted
from vmferry_agent.decisions.limits import overrun, steers
from vmferry_agent.hypervisor.port import Domain
from vmferry_api.migrations import MigrationTechnique, VMState
from vmferry_api.policies import Compression, CompressionMethod, StartOptions

SECOND = timedelta(seconds=1)
MS100 = timedelta(milliseconds=100)


@pytest.mark.parametrize(
    ("limits", "idle", "elapsed", "found"),
    [
        ({"progress_timeout": 150 * SECOND}, 149.9, 9999, None),
        (
            {"progress_timeout": 150 * SECOND},
            150,
            150,
            "progressTimeout: no progress and no new parameters for 2m30s",
        ),
        ({"progress_timeout": 0 * SECOND}, 9999, 9999, None),
        ({"timeout": 60 * SECOND}, 0, 59.9, None),
        ({"timeout": 60 * SECOND}, 0, 60, "timeout: not done after 1m"),
        ({"timeout": None}, 0, 9999, None),
    ],
)
def test_the_agent_gives_up_at_its_limits_and_not_before(limits, idle, elapsed, found):
    without_progress, lasted = timedelta(seconds=idle), timedelta(seconds=elapsed)
    assert overrun(desired(**limits), without_progress=without_progress, elapsed=lasted) == found


def to_set(wanted, in_force, *, in_post_copy=False):
    found = changes(wanted, in_force, max_downtime=wanted.max_downtime, in_post_copy=in_post_copy)
    return [(change.parameter, change.value) for change in found]


def test_right_after_the_start_only_the_downtime_is_left_to_set():
    assert to_set(desired(), at_start(desired())) == [(Parameter.MAX_DOWNTIME, MS100)]


def test_what_is_in_force_is_not_set_again():
    assert to_set(desired(), {**at_start(desired()), Parameter.MAX_DOWNTIME: MS100}) == []


def test_caps_are_set_before_the_switch():
    wanted = desired(
        technique=MigrationTechnique.POST_COPY, post_copy_allowed=True, post_copy_bandwidth=1, bandwidth=2
    )
    in_force = {**at_start(desired()), Parameter.MAX_DOWNTIME: MS100}
    assert [parameter for parameter, _ in to_set(wanted, in_force)] == [
        Parameter.BANDWIDTH,
        Parameter.POST_COPY_BANDWIDTH,
        Parameter.TECHNIQUE,
    ]


def test_in_post_copy_only_its_own_cap_is_set():
    wanted = desired(post_copy_allowed=True, post_copy_bandwidth=7, bandwidth=9, max_downtime=9 * SECOND)
    assert to_set(wanted, {}, in_post_copy=True) == [(Parameter.POST_COPY_BANDWIDTH, 7)]


XBZRLE = StartOptions(compression=Compression(method=CompressionMethod.XBZRLE, cache_size=2**26))


@pytest.mark.parametrize(
    ("wanted", "set_"),
    [
        ({}, []),
        ({"compression_cache": 2**26}, []),
        ({"compression_cache": 2**27}, [(Parameter.COMPRESSION_CACHE, 2**27)]),
    ],
)
def test_the_compression_cache_is_set_where_another_one_is_wanted_than_at_the_start(wanted, set_):
    started = desired(start=XBZRLE, compression_cache=2**26)
    in_force = {**at_start(started), Parameter.MAX_DOWNTIME: MS100}
    assert to_set(desired(start=XBZRLE, **wanted), in_force) == set_


def test_what_the_cache_of_an_adopted_migration_is_its_last_report_tells():
    applied = desired(start=XBZRLE, compression_cache=2**27)
    domain = Domain(
        name="d", uuid="u", state=VMState.RUNNING, reason="Booted", memory=1, vcpus=1, persistent=True
    )
    assert when_adopted(domain, applied, ())[Parameter.COMPRESSION_CACHE] == 2**27
    assert Parameter.COMPRESSION_CACHE not in when_adopted(domain, applied, {"compressionCache"})


def test_a_suspended_guest_is_not_resumed_in_flight():
    assert (
        to_set(
            desired(suspend=False),
            {Parameter.MAX_DOWNTIME: MS100, **at_start(desired()), Parameter.SUSPEND: True},
        )
        == []
    )


@pytest.mark.parametrize(
    ("state", "reason", "suspended", "technique"),
    [
        (VMState.RUNNING, "Booted", False, MigrationTechnique.PRE_COPY),
        (VMState.PAUSED, "User", True, MigrationTechnique.PRE_COPY),
        (VMState.PAUSED, "PostCopy", False, MigrationTechnique.POST_COPY),
    ],
)
def test_of_an_adopted_migration_the_domain_tells_what_holds(state, reason, suspended, technique):
    domain = Domain(name="d", uuid="u", state=state, reason=reason, memory=1, vcpus=1, persistent=True)
    known = {Parameter.SUSPEND: suspended, Parameter.TECHNIQUE: technique}
    assert when_adopted(domain, None, ()) == known
    applied = desired(bandwidth=50)
    assert when_adopted(domain, applied, ()) == {**known, Parameter.BANDWIDTH: 50}
    assert when_adopted(domain, applied, {"bandwidth"}) == known


def test_a_change_is_told_in_the_api_s_words():
    assert str(Change(parameter=Parameter.MAX_DOWNTIME, value=MS100)) == "maxDowntime is now 100ms"


@pytest.mark.parametrize(
    ("own", "share", "cap"), [(None, None, None), (5, None, 5), (None, 7, 7), (5, 7, 5), (9, 7, 7)]
)
def test_of_its_own_cap_and_its_share_of_the_node_s_the_lower_holds(own, share, cap):
    assert bandwidth(desired(bandwidth=own, share=share)) == cap


def test_a_switch_that_was_taken_back_before_it_was_made_is_nothing_to_do():
    in_force = {**at_start(desired()), Parameter.MAX_DOWNTIME: MS100}
    in_force[Parameter.TECHNIQUE] = MigrationTechnique.POST_COPY
    assert to_set(desired(), in_force) == []


@pytest.mark.parametrize(
    ("change", "tries"),
    [
        ({"share": 7, "reason": "shared out anew", "report_every": timedelta(seconds=4)}, False),
        ({"max_downtime": timedelta(seconds=1)}, True),
        ({"stalling_limit": timedelta(seconds=1)}, True),
    ],
)
def test_sharing_out_bandwidth_does_not_keep_a_hopeless_migration_alive(change, tries):
    assert steers(None, desired())
    assert steers(desired(), desired(revision=2, **change)) == tries
