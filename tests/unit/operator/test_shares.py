"""How a node's bandwidth is shared: the fairest way that leaves nothing unused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from migrations_in_words import first_desired, migration, policy, running

from vmferry_api.migrations import AppliedPolicy, VMMigration
from vmferry_operator.decisions.cluster import Cluster
from vmferry_operator.decisions.shares import Flow, shares

MI = 2**20


def flow(uid: str, source: str, target: str, *, cap: int | None = None, per_node: int | None = None) -> Flow:
    """A flow; rates in MiB/s."""
    return Flow(
        uid=uid,
        source=source,
        target=target,
        cap=None if cap is None else cap * MI,
        per_node=None if per_node is None else per_node * MI,
    )


@pytest.mark.parametrize(
    ("flows", "expected"),
    [
        ([flow("1", "a", "b")], {}),
        ([flow("1", "a", "b", per_node=100)], {"1": 100}),
        ([flow("1", "a", "b", per_node=100), flow("2", "a", "c", per_node=100)], {"1": 50, "2": 50}),
        ([flow("1", "a", "b", per_node=100), flow("2", "c", "b", per_node=100)], {"1": 50, "2": 50}),
        ([flow("1", "a", "b", per_node=100), flow("2", "b", "a", per_node=100)], {"1": 100, "2": 100}),
        ([flow("1", "a", "b", per_node=100), flow("2", "c", "d", per_node=100)], {"1": 100, "2": 100}),
        ([flow("1", "a", "b", per_node=100, cap=20), flow("2", "a", "c", per_node=100)], {"1": 20, "2": 80}),
        ([flow("1", "a", "b", per_node=100), flow("2", "a", "c", per_node=60)], {"1": 30, "2": 30}),
        ([flow("1", "a", "b", per_node=100), flow("2", "a", "c")], {"1": 50, "2": 50}),
        (
            [
                flow("1", "a", "b", per_node=90),
                flow("2", "a", "b", per_node=90),
                flow("3", "a", "b", per_node=90),
                flow("4", "c", "b", per_node=90),
                flow("5", "c", "d", per_node=90),
            ],
            {"1": 22, "2": 22, "3": 22, "4": 22, "5": 67},
        ),
    ],
)
def test_shares(flows: list[Flow], expected: dict[str, int]) -> None:
    assert {uid: rate // MI for uid, rate in shares(flows).items()} == expected


def test_however_many_there_are_each_gets_a_little() -> None:
    many = [flow(str(number), "a", "b", per_node=2) for number in range(10)]
    assert set(shares(many).values()) == {MI}


FLOWS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from("abc"),
        st.one_of(st.none(), st.integers(20, 2000)),
        st.one_of(st.none(), st.integers(100, 2000)),
    ),
    max_size=8,
).map(
    lambda each: [
        flow(str(n), source, target, cap=cap, per_node=per_node)
        for n, (source, target, cap, per_node) in enumerate(each)
        if source != target
    ]
)


@given(flows=FLOWS, seed=st.randoms())
def test_no_link_is_overbooked_no_cap_exceeded_and_the_order_does_not_matter(flows, seed):
    found = shares(flows)
    for link in {link for each in flows for link in each.links}:
        through = [each for each in flows if link in each.links]
        limits = [each.per_node for each in through if each.per_node is not None]
        if limits:
            assert sum(found[each.uid] for each in through) <= min(limits)
    assert all(each.cap is None or found.get(each.uid, 0) <= each.cap for each in flows)
    shuffled = list(flows)
    seed.shuffle(shuffled)
    assert shares(shuffled) == found


@given(flows=FLOWS)
def test_nobody_could_get_more_without_taking_it_from_somebody_who_has_no_more(flows):
    found = shares(flows)
    for each in flows:
        if each.uid not in found or found[each.uid] + MI > (each.cap or 2**60):
            continue
        assert any(_full_and_not_richer(link, each, flows, found) for link in each.links)


POLICIES = [policy("free"), policy("shared", bandwidth={"perNode": "100Mi"})]


def one_that_runs(uid: str, route: str, by: str, *, cap: int | None) -> VMMigration:
    """Along `ab`, say, by one of the policies."""
    desired = first_desired(POLICIES[0].spec).replace(bandwidth=cap)
    status = running(desired=desired, policy=AppliedPolicy(name=by))
    words = {"sourceNode": route[0], "targetNode": route[1]}
    return migration(status, {"uid": uid, "name": uid}, **words)


@given(
    drawn=st.lists(
        st.tuples(
            st.sampled_from(["ab", "ac", "cb", "bc"]),
            st.sampled_from(["free", "shared"]),
            st.sampled_from([None, 20 * MI, 45 * MI]),
        ),
        min_size=1,
        max_size=6,
    ),
    by=st.sampled_from(POLICIES),
    cap=st.sampled_from([None, 20 * MI]),
)
def test_whoever_asks_is_left_out_whatever_the_cluster_has_of_it(drawn, by, cap):
    """What is reckoned once for all is what would be reckoned for it alone, with what it is to have by now."""
    all_ = [one_that_runs(f"u{n}", route, by, cap=cap) for n, (route, by, cap) in enumerate(drawn)]
    for each in all_:
        alone = Cluster([other for other in all_ if other is not each], POLICIES).shares
        assert Cluster(all_, POLICIES).shares.of(each, by.spec, cap=cap) == alone.of(each, by.spec, cap=cap)


def test_those_are_named_whose_share_is_not_the_one_that_they_were_told():
    one, two, far = (one_that_runs(route, route, "shared", cap=None) for route in ("ab", "ac", "xy"))
    desired = far.status.desired
    assert desired is not None
    far = far.replace(status=far.status.replace(desired=desired.replace(share=100 * MI)))
    assert Cluster([one, two, far], POLICIES).shares.changed() == [one, two]


def _full_and_not_richer(link, mine, flows, found):
    through = [each for each in flows if link in each.links]
    limits = [each.per_node for each in through if each.per_node is not None]
    if not limits:
        return False
    rounding = MI * len(flows)
    full = sum(found[each.uid] for each in through) >= min(limits) - rounding
    return full and all(found[each.uid] <= found[mine.uid] + rounding for each in through)
