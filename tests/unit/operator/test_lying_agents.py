"""Whatever an agent writes into a status, it is decided on, told and counted, and what its user says is heard."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from migrations_in_words import after, policy
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError

from strange_statuses import EXTREME, STATUSES, STRANGE, changed, extremes, places, stored
from vmferry_api.migrations import VMMigration, VMMigrationStatus
from vmferry_api.policies import MigrationPolicy
from vmferry_kube.keys import ObjectKey
from vmferry_operator.decisions.cluster import Cluster
from vmferry_operator.decisions.decide import Surroundings, decide, leases_wanted
from vmferry_operator.decisions.events import migration_events
from vmferry_operator.decisions.occupancy import standing as of_others
from vmferry_operator.decisions.silence import AgentLease
from vmferry_operator.gauges import OperatorState
from vmferry_operator.metrics import Metrics
from vmferry_operator.standing import standing
from vmferry_operator.store import Store
from vmferry_operator.tallies import tally

EXAMPLES = int(os.environ.get("EXAMPLES", "50"))
"""Of any values in any places, of each status; more of them look deeper."""
NOW = after(600)
KEY = ObjectKey("default", "m")
ENDING = (
    (("spec", "cancel"), True),
    (("metadata", "deletionTimestamp"), "2026-01-01T12:10:00Z"),
    (("metadata", "resourceVersion"), "9"),
)
RETRY = {"attempts": 9, "backoff": "10s"}
SHARED = {"perMigration": "100Mi", "perNode": "200Mi"}
POLICIES = [
    policy(bandwidth=SHARED),
    policy(
        retry=RETRY,
        maxDowntime="300ms",
        timeout={"base": "10s", "perGiB": "168h"},
        steps=[
            {"after": {"elapsedPerGiB": "168h"}, "setMaxDowntime": "600ms"},
            {"after": {"stalled": "10s"}, "setMaxDowntime": "800ms"},
            {"after": {"elapsed": "168h"}, "abort": {}},
        ],
    ),
    policy(
        objective={
            "maxDowntime": "900ms",
            "preferredDowntime": "100ms",
            "completeWithin": "10m",
            "completeWithinPerGiB": "168h",
            "allow": ["AutoConverge", "PostCopy", "Suspend"],
        },
    ),
    policy(objective={"maxDowntime": "100ms", "allow": ["AutoConverge"]}, retry=RETRY),
]
LEASES = {node: AgentLease(renewed=after(0), lasts=after(40) - after(0)) for node in ("node-a", "node-b")}
SEEN = {name: VMMigration.read(stored(status)) for name, status in STATUSES.items()}


METRICS = Metrics()


def look_at(read: VMMigration, was: VMMigration, policies: list[MigrationPolicy]) -> None:
    """All that the operator does about what it has read."""
    for one in policies:
        cluster = Cluster([read, was.replace(metadata=was.metadata.replace(uid="v"))], [one])
        leases_wanted(read, now=NOW)
        around = Surroundings(policies=[one], nodes=["node-a", "node-b"], cluster=cluster, leases=LEASES)
        decided = decide(read, around, now=NOW).status.as_json()
        assert VMMigrationStatus.model_validate(decided).as_json() == decided
        cluster.turns.worth_a_look(now=NOW)
        cluster.shares.changed()
        assert standing([read], [one], now=NOW).not_counted == 0
    of_others(read)
    for before, now in ((was, read), (read, was)):
        migration_events(before, now)
        tally(before, now, METRICS, at=NOW)


def outlived(raw: dict, was: VMMigration, policies: list[MigrationPolicy]) -> VMMigration:
    """What the operator then knows of it; it has heard a cancel and a deletion that came with it."""
    changes: list[VMMigration | None] = []
    store = Store(VMMigration, changed=lambda _key, _old, new: changes.append(new))
    store.take(stored(STATUSES["pre-copy"]))
    store.seen("MODIFIED", changed(raw, *ENDING))
    kept = store.get(KEY)
    assert kept is not None
    assert (kept.metadata.resource_version, kept.spec.cancel) == ("9", True)
    assert kept.metadata.deletion_timestamp is not None
    assert changes[-1] is kept
    look_at(kept, was, policies[:1])
    try:
        read = VMMigration.read(raw)
    except ValidationError as error:
        parts = {each["loc"][:2] for each in error.errors()}
        assert parts & {
            ("status", "attempts"),
            ("status", "desired"),
        }  # no attempt is forgotten, no order guessed
        assert kept.has_unread_status
        return kept
    assert read.unreadable == ()
    look_at(read, was, policies)
    return read


def shown(migrations: list[VMMigration]) -> float:
    """How many are in the figures."""
    found = standing(migrations, POLICIES[:1], now=NOW)
    state = OperatorState(
        leads=True, standing=found, unread=0, policies=["p"], watches={}, listed_at=NOW, events_dropped=0
    )
    metrics = Metrics()
    metrics.follow(lambda: state)
    families = text_string_to_metric_families(metrics.text().decode())
    counted = next(each for each in families if each.name == "vmferry_operator_migrations")
    return sum(sample.value for sample in counted.samples)


@pytest.mark.parametrize("name", STATUSES)
def test_any_extreme_value_of_the_right_type_is_lived_with(name: str) -> None:
    raw, was = stored(STATUSES[name]), SEEN[name]
    policies = POLICIES if name == "pre-copy" else POLICIES[:2]
    read = [outlived(changed(raw, change), was, policies) for change in extremes(raw)]
    assert shown(read) == len(read)


CHANGES = {
    name: st.lists(
        st.tuples(
            st.sampled_from(places(stored(status)["status"], ("status",))),
            st.sampled_from([*STRANGE, *EXTREME]),
        ),
        min_size=1,
        max_size=4,
    )
    for name, status in STATUSES.items()
}


@pytest.mark.parametrize("name", STATUSES)
def test_any_values_of_any_type_in_any_places_are_lived_with(name: str) -> None:
    @settings(max_examples=EXAMPLES)
    @given(changes=CHANGES[name])
    def lived_with(changes: list) -> None:
        outlived(changed(stored(STATUSES[name]), *changes), SEEN[name], POLICIES)

    lived_with()
