"""How long what is reckoned of all migrations is good for."""

import pytest
from migrations_in_words import NOW, first_desired, migration, policy, running, source, target

from vmferry_api.migrations import AppliedPolicy, Phase, Queue, VMMigration, VMMigrationStatus
from vmferry_kube.keys import ObjectKey
from vmferry_operator.live_cluster import LiveCluster

KEY = ObjectKey("default", "m")
P = policy("p")
DESIRED = first_desired(P.spec)
RUNS = running(desired=DESIRED, phase=Phase.RUNNING, policy=AppliedPolicy(name="p"))
QUEUE = Queue(position=2, since=NOW, waiting_for="perCluster")
WAITS = VMMigrationStatus(source=source(), target=target(), phase=Phase.PENDING, queue=QUEUE)
OVER = RUNS.replace(phase=Phase.SUCCEEDED)


@pytest.mark.parametrize(
    ("before", "now", "concerns_others"),
    [
        (None, migration(), False),
        (None, migration(WAITS), True),
        (None, migration(OVER), False),
        (migration(WAITS), migration(WAITS.replace(queue=QUEUE.replace(position=1))), False),
        (migration(WAITS), migration(WAITS, overrides={"queuePriority": 1}), True),
        (migration(WAITS), migration(RUNS), True),
        (migration(RUNS), migration(RUNS.replace(desired=DESIRED.replace(share=5))), False),
        (migration(RUNS), migration(RUNS.replace(desired=DESIRED.replace(bandwidth=5))), True),
        (migration(RUNS), migration(RUNS.replace(policy=AppliedPolicy(name="q"))), True),
        (migration(RUNS), migration(running(desired=DESIRED, policy=RUNS.policy, memory_pass=9)), False),
        (migration(RUNS), migration(RUNS, {"uid": "namesake"}), True),
        (migration(RUNS), migration(OVER), True),
        (migration(RUNS), None, True),
        (migration(OVER), None, False),
    ],
)
def test_what_concerns_others(
    before: VMMigration | None, now: VMMigration | None, *, concerns_others: bool
) -> None:
    live = LiveCluster(lambda: [P])
    live.migration_changed(KEY, before)
    known = live.now()
    assert live.migration_changed(KEY, now) == concerns_others
    assert (live.now() is not known) == concerns_others


def test_a_change_of_policies_counts_from_the_next_look_on() -> None:
    policies = [P]
    live = LiveCluster(lambda: policies)
    live.migration_changed(KEY, migration(RUNS))
    assert live.now().shares.changed() == []
    policies[:] = [policy("p", bandwidth={"perNode": "100Mi"})]
    live.policies_changed()
    assert live.now().shares.changed() != []
