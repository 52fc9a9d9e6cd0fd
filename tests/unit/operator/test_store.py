import asyncio

import pytest

from strange_statuses import PRE_COPY, changed, stored
from vmferry_api.migrations import VMMigration
from vmferry_api.policies import MigrationPolicy
from vmferry_kube.keys import ObjectKey
from vmferry_operator.store import Store

KEY = ObjectKey("", "p")


def raw(version: int, uid: str = "u", name: str = "p", **spec: object) -> dict[str, object]:
    return {"metadata": {"name": name, "uid": uid, "resourceVersion": str(version)}, "spec": spec}


@pytest.fixture
def changes():
    return []


@pytest.fixture
def store(changes):
    return Store(MigrationPolicy, changed=lambda *change: changes.append(change))


def version(store) -> str | None:
    found = store.get(KEY)
    return found.metadata.resource_version if found else None


def test_the_newest_version_counts_whatever_the_order_it_comes_in(store):
    store.take(raw(5))
    store.seen("MODIFIED", raw(3))
    assert version(store) == "5"


def test_a_namesake_created_anew_takes_the_place_of_the_old_one(store):
    store.take(raw(5))
    store.seen("ADDED", raw(9, uid="other"))
    store.seen("DELETED", raw(7))
    assert store.get(KEY).metadata.uid == "other"


async def test_what_is_missing_from_a_list_is_gone(store, changes):
    store.take(raw(5))
    await store.replace([raw(6, name="q")], version=8)
    assert store.get(KEY) is None
    assert changes[-1][0] == KEY
    assert changes[-1][2] is None


async def test_what_the_watch_told_after_a_list_was_read_survives_the_list(store):
    store.seen("ADDED", raw(9))
    await store.replace([], version=8)
    assert version(store) == "9"


async def test_what_was_deleted_after_a_list_was_read_does_not_come_back_by_it(store):
    store.take(raw(5))
    store.seen("DELETED", raw(7))
    await store.replace([raw(5)], version=6)
    assert store.get(KEY) is None


async def test_what_was_gone_in_a_newer_list_does_not_come_back_by_an_older_one_that_is_heard_later(store):
    store.take(raw(5))
    await store.replace([], version=8)
    await store.replace([raw(5)], version=6)
    assert store.get(KEY) is None


async def test_of_lists_that_are_taken_at_once_the_newer_one_counts(store):
    many = [raw(4, name=f"p{number}") for number in range(300)]
    await asyncio.gather(store.replace([*many, raw(5)], version=6), store.replace(many, version=8))
    assert store.get(KEY) is None
    assert len(store.all()) == 300


def test_of_a_deletion_that_is_told_late_nothing_comes_back(store):
    store.seen("DELETED", raw(9))
    store.seen("DELETED", raw(7, uid="older"))
    store.seen("MODIFIED", raw(8))
    assert store.get(KEY) is None


async def test_while_a_long_list_is_read_all_else_goes_on(store):
    """The Lease among it."""
    turns = 0

    async def count_turns():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    await store.replace([raw(5, name=f"p{number}") for number in range(1000)], version=8)
    counting.cancel()
    assert turns >= 10
    assert len(store.all()) == 1000


async def test_what_is_deleted_while_a_long_list_is_read_is_not_brought_back(store):
    many = [raw(5, name=f"p{number}") for number in range(1000)]
    reading = asyncio.create_task(store.replace([*many, raw(5)], version=8))
    await asyncio.sleep(0)
    store.seen("DELETED", raw(9))
    await reading
    assert store.get(KEY) is None


def test_what_can_t_be_read_at_all_is_left_alone_and_counted_until_it_can(store, changes):
    store.seen("ADDED", {**raw(5), "status": "none"})
    assert (changes, store.unread) == ([], 1)
    store.seen("MODIFIED", raw(6))
    assert (version(store), store.unread) == ("6", 0)


@pytest.mark.parametrize("goes", ["by the watch", "by a list"])
def test_what_can_t_be_read_and_is_gone_is_not_counted(store, goes):
    unreadable = {**raw(5), "status": "none"}
    store.seen("ADDED", unreadable)
    if goes == "by the watch":
        store.seen("DELETED", unreadable)
    else:
        store.replace([], version=6)
    assert store.unread == 0


def test_of_a_status_that_can_t_be_read_any_more_the_last_one_is_kept_and_the_user_is_heard(changes, caplog):
    store = Store(VMMigration, changed=lambda *change: changes.append(change))
    before = store.take(stored(PRE_COPY))
    lies = changed(stored(PRE_COPY), (("status", "attempts", 0, "number"), 0), (("spec", "cancel"), True))
    for newer in ("6", "7"):
        store.seen("MODIFIED", changed(lies, (("metadata", "resourceVersion"), newer)))
    (kept,) = store.all()
    assert (kept.metadata.resource_version, kept.spec.cancel, kept.status) == ("7", True, before.status)
    assert kept.unreadable == ("status.attempts[0].number: Input should be greater than or equal to 1",)
    assert (store.unread, len(caplog.records)) == (1, 1)


def test_a_namesake_whose_status_can_t_be_read_is_not_taken_for_the_old_one():
    store = Store(VMMigration, changed=lambda *_: None)
    store.take(stored(PRE_COPY))
    namesake = changed(
        stored(PRE_COPY, version=6), (("metadata", "uid"), "other"), (("status", "attempts", 0, "number"), 0)
    )
    assert store.take(namesake) is None


def test_of_what_can_t_be_read_in_part_the_rest_is_taken(store):
    store.seen("ADDED", raw(5, maxDowntime="soon", priority=3))
    assert store.get(KEY).spec.priority == 3
    assert store.get(KEY).unreadable


def test_the_same_again_is_no_change(store, changes):
    store.take(raw(5))
    store.seen(None, raw(5))
    assert len(changes) == 1
