import asyncio

import pytest
from kubernetes.aio.client import ApiException

from vmferry_agent import role as roles
from vmferry_agent.reporting import Reporter
from vmferry_agent.role import Role
from vmferry_kube import logs


class Work:
    """Runs until it is told that its migration is over or gone; fails as told first."""

    def __init__(self, migration, reporter, failures):
        self.seen = [migration]
        self.reporter = reporter
        self.runs = 0
        self.ran_again = asyncio.Event()
        self._failures = failures
        self._over = asyncio.Event()

    def update(self, migration):
        self.seen.append(migration)
        if migration.status.phase is not None and migration.status.phase.terminal:
            self._over.set()

    def vanish(self):
        self._over.set()

    @property
    def let_go(self):
        return self._over.is_set()

    async def run(self):
        self.runs += 1
        if self.runs == 2:
            self.ran_again.set()
        if self._failures:
            raise self._failures.pop()
        await self._over.wait()


def raw(uid="u", node="node-a", version="", name="m", **status):
    return {
        "metadata": {"name": name, "namespace": "default", "uid": uid, "resourceVersion": version},
        "spec": {"vm": "db-1", "sourceNode": node, "targetNode": "node-b"},
        "status": status,
    }


@pytest.fixture
def failures():
    """What the works meet, beginning with the last."""
    return []


@pytest.fixture
async def serving(failures):
    works = []

    async def write(status):
        raise ApiException(status=404)

    def new_work(migration, reporter):
        works.append(Work(migration, reporter, failures))
        return works[-1]

    role = Role(
        "source",
        new_reporter=lambda migration, gone: Reporter("default/m", write, gone=gone),
        new_work=new_work,
        concerns=lambda migration: migration.spec.source_node == "node-a",
        ended=lambda migration: migration.status.is_over,
    )
    yield role, works
    await role.stop()


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


async def test_each_migration_is_worked_on_once_and_told_of_its_changes(serving):
    role, works = serving
    role.seen("ADDED", raw())
    role.seen(None, raw())
    role.seen("MODIFIED", raw(phase="Running"))
    role.seen("ADDED", raw(uid="other", name="n"))
    assert [len(work.seen) for work in works] == [3, 1]


async def test_of_the_watch_and_the_answers_to_writes_the_newest_counts(serving):
    role, works = serving
    role.seen("ADDED", raw(version="9"))
    role.seen(None, raw(version="12", phase="Pending"))
    for late in ("10", "12"):
        role.seen("MODIFIED", raw(version=late))
    role.seen("MODIFIED", raw(version="100", phase="Running"))
    assert [migration.status.phase for migration in works[0].seen] == [None, "Pending", "Running"]


async def test_a_cancel_is_heard_whatever_else_of_the_spec_can_t_be_read(serving):
    role, works = serving
    role.seen("ADDED", raw())
    spec = raw()["spec"] | {"overrides": {"bandwidth": {"perMigration": "1e8"}}, "cancel": True}
    role.seen("MODIFIED", raw() | {"spec": spec})
    assert works[0].seen[-1].spec.cancel


@pytest.mark.parametrize(("event", "last"), [("MODIFIED", {"phase": "Succeeded"}), ("DELETED", {})])
async def test_what_is_over_or_gone_is_let_go_and_its_uid_may_come_again(serving, event, last):
    role, works = serving
    role.seen("ADDED", raw())
    role.seen(event, raw(**last))
    await settle()
    role.seen("ADDED", raw())
    assert len(works) == 2


async def test_a_namesake_takes_the_place_of_what_vanished_unseen(serving):
    role, works = serving
    role.seen("ADDED", raw(version="5"))
    role.seen("ADDED", raw(uid="namesake", version="7"))
    assert [work.let_go for work in works] == [True, False]


@pytest.mark.parametrize("event", ["MODIFIED", "DELETED"])
async def test_what_is_told_late_of_an_object_does_not_end_its_namesake(serving, event):
    role, works = serving
    role.seen("ADDED", raw(uid="namesake", version="7"))
    role.seen(event, raw(version="6"))
    assert [work.let_go for work in works] == [False]


async def test_work_for_an_object_that_is_not_there_any_more_ends_though_the_watch_has_not_told(serving):
    role, works = serving
    role.seen("ADDED", raw())
    works[0].reporter.put({"phase": "a"})
    await settle()
    assert works[0].let_go


async def test_work_that_fails_unforeseen_is_taken_up_again(serving, failures):
    role, works = serving
    failures.append(ValueError("embedded null character"))
    role.seen("ADDED", raw())
    async with asyncio.timeout(10):
        await works[0].ran_again.wait()
    assert len(works) == 1
    assert not works[0].let_go


@pytest.mark.parametrize(
    ("event", "what"),
    [
        ("ADDED", raw(phase="Failed")),
        ("DELETED", raw()),
        ("ADDED", raw(node="node-c")),
        ("ADDED", {"metadata": {"name": "m", "namespace": "default", "uid": "u"}, "spec": {"vm": "x"}}),
    ],
    ids=["over", "gone", "another node's", "unreadable"],
)
async def test_what_does_not_concern_it_is_left_alone(serving, event, what):
    role, works = serving
    role.seen(event, what)
    assert works == []


async def test_a_task_that_dies_is_told_of(serving):
    role, _ = serving
    role.seen("ADDED", raw())
    assert role.dead == []
    role._tasks["u"].cancel()
    await settle()
    assert role.dead == ["source: the task of m has died"]


async def test_one_that_ends_or_is_stopped_is_not_dead(serving):
    role, _ = serving
    role.seen("ADDED", raw())
    role.seen("ADDED", raw(uid="other", name="n"))
    role.seen("MODIFIED", raw(phase="Succeeded"))
    await settle()
    await role.stop()
    assert role.dead == []


async def test_a_reporter_that_dies_is_told_of(serving):
    role, works = serving
    role.seen("ADDED", raw())
    works[0].reporter._task.cancel()
    await settle()
    assert role.dead == ["source: m is not reported any more"]


async def test_an_object_is_read_once_though_it_comes_by_the_watch_and_as_an_answer(serving, monkeypatch):
    role, _ = serving
    role.seen("ADDED", raw(version="9"))
    monkeypatch.setattr(roles.VMMigration, "read", lambda _raw: pytest.fail("read again"))
    role.seen("MODIFIED", raw(version="9"))


async def test_whatever_is_logged_for_a_migration_says_which_and_for_what_revision(failures):
    lines = []

    class Talking(Work):
        def update(self, migration):
            super().update(migration)
            lines.append(dict(logs._bound.get()))

        async def run(self):
            lines.append(dict(logs._bound.get()))
            await super().run()

    async def write(status):
        pass

    role = Role(
        "source",
        new_reporter=lambda migration, gone: Reporter("default/m", write, gone=gone),
        new_work=lambda migration, reporter: Talking(migration, reporter, failures),
        concerns=lambda migration: True,
        ended=lambda migration: migration.status.is_over,
    )
    role.seen("ADDED", raw(version="1"))
    await settle()
    desired = {"revision": 3, "attempt": 2, "state": "Migrate", "reason": "r", "technique": "PreCopy"}
    desired |= {"stallingLimit": "10s", "progressTimeout": "0s"}
    role.seen("MODIFIED", raw(version="2", desired=desired))
    await role.stop()
    assert lines == [{"object": "default/m"}, {"object": "default/m", "revision": 3, "attempt": 2}]


async def test_of_what_a_newer_operator_has_written_the_user_s_word_is_heard(serving):
    role, works = serving
    role.seen("ADDED", raw(version="1"))
    newer = raw(version="2")
    newer["spec"]["cancel"] = True
    newer["status"] = {"desired": {"state": "SomethingNew"}}
    role.seen("MODIFIED", newer)
    assert works[0].seen[-1].spec.cancel
    assert role.version("u") == "2"


async def test_an_order_is_heard_whatever_newer_words_stand_beside_it(serving):
    role, works = serving
    desired = {
        "revision": 2,
        "state": "Migrate",
        "attempt": 1,
        "technique": "PreCopy",
        "maxDowntime": "2s",
        "stallingLimit": "5s",
        "progressTimeout": "150s",
        "deepBreath": "3s",
    }
    role.seen("ADDED", raw(version="1"))
    strange = {"phase": "Elsewhere", "target": {"ready": True, "vm": {"state": "Hibernating"}}}
    role.seen("MODIFIED", raw(version="2", desired=desired, **strange))
    status = works[0].seen[-1].status
    assert (status.desired.revision, status.desired.max_downtime.total_seconds()) == (2, 2)
    assert (status.phase, status.target.ready, status.target.vm.state) == (None, True, "Other")


async def test_the_last_word_is_written_before_a_migration_is_let_go(failures):
    written, may_write = [], asyncio.Event()

    async def write(status):
        await may_write.wait()
        written.append(status)

    class Speaking(Work):
        async def run(self):
            self.reporter.put({"attempts": ["ended"]})

    role = Role(
        "source",
        new_reporter=lambda migration, gone: Reporter("default/m", write, gone=gone),
        new_work=lambda migration, reporter: Speaking(migration, reporter, failures),
        concerns=lambda migration: True,
        ended=lambda migration: migration.status.is_over,
    )
    role.seen("ADDED", raw(version="1"))
    await settle()
    assert role.version("u")
    may_write.set()
    await asyncio.gather(*role._tasks.values())
    assert written == [{"attempts": ["ended"]}]
    await role.stop()


def progress(percent):
    return {
        "percent": percent,
        "pass": 1,
        "remaining": "1Mi",
        "transferred": "1Mi",
        "total": "1Gi",
        "elapsed": "1s",
    }


async def test_mere_progress_is_no_news_and_its_version_is_known_all_the_same(serving):
    role, works = serving
    role.seen("ADDED", raw(version="1", attempts=[]))
    role.seen("MODIFIED", raw(version="2", attempts=[], progress=progress(1)))
    seen = len(works[0].seen)
    role.seen("MODIFIED", raw(version="3", attempts=[], progress=progress(2)))
    assert (len(works[0].seen), role.version("u")) == (seen, "3")


@pytest.mark.parametrize(
    "change",
    [
        lambda new: new["spec"].update(cancel=True),
        lambda new: new["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z"),
        lambda new: new["status"].update(phase="Running"),
    ],
    ids=["the spec", "a deletion", "another part of the status"],
)
async def test_whatever_else_changes_is_news(serving, change):
    role, works = serving
    role.seen("ADDED", raw(version="1"))
    role.seen("MODIFIED", raw(version="2", progress=progress(1)))
    seen = len(works[0].seen)
    new = raw(version="3")
    change(new)
    role.seen("MODIFIED", new)
    assert len(works[0].seen) == seen + 1
