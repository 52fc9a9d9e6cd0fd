"""What is asked for by migrate: names, overrides, bodies; and names that nothing has."""

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_vmferry.commands.migrate import (
    going_on,
    migrate_command,
    migration_body,
    migration_name,
    names_must_exist,
)
from kubectl_vmferry.failures import Failure, NotFoundFailure, UnreachableFailure, did_you_mean
from kubectl_vmferry.overrides import Override, fields
from vmferry_api.migrations import VMMigrationSpec
from vmferry_api.names import OBJECT_NAME

ASKED = {
    "vm": "db-1",
    "source": "node-a",
    "target": "node-b",
    "policy": None,
    "overrides": (),
    "copy_storage": None,
    "labels": {},
    "ttl": None,
}


@pytest.mark.parametrize(
    ("vm", "name"),
    [
        ("db-1", "db-1-to-node-b"),
        ("DB 1 (old)", "db-1-old-to-node-b"),
        ("ü", "vm-to-node-b"),
        ("a..b", "a.b-to-node-b"),
    ],
)
def test_a_migration_is_called_by_its_vm_and_its_target(vm, name):
    assert migration_name(vm, "node-b") == name


@given(st.text(max_size=300))
def test_whatever_a_vm_is_called_the_name_is_one_that_an_object_may_have(vm):
    import re  # noqa: PLC0415

    name = migration_name(vm, "node-b")
    assert re.fullmatch(OBJECT_NAME[1:-1], name)
    assert len(name) <= 250


def test_only_what_is_asked_for_is_in_the_body():
    assert migration_body("n", ASKED)["spec"] == {
        "vm": "db-1",
        "sourceNode": "node-a",
        "targetNode": "node-b",
    }


def test_all_that_is_asked_for_is_in_the_body():
    overrides = ((("maxDowntime",), "1s"), (("bandwidth", "perMigration"), "50Mi"), (("queuePriority",), 3))
    body = migration_body(
        "n",
        {
            **ASKED,
            "policy": "balanced",
            "overrides": overrides,
            "copy_storage": "all",
            "labels": {"tier": "db"},
            "ttl": "24h",
        },
    )
    spec = VMMigrationSpec.model_validate(body["spec"], extra="forbid")
    assert body["metadata"]["labels"] == {"tier": "db"}
    assert body["spec"]["overrides"] == {
        "maxDowntime": "1s",
        "bandwidth": {"perMigration": "50Mi"},
        "queuePriority": 3,
    }
    assert (spec.storage, spec.policy_ref.name) == ("CopyAll", "balanced")


def test_every_tunable_can_be_set():
    assert {"maxDowntime", "bandwidth.perMigration", "timeout.perGiB", "queuePriority"} <= set(fields())


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("maxDowntime", "'maxDowntime' is not FIELD=VALUE"),
        ("maxDowntme=1s", "spec.overrides has no maxDowntme; did you mean maxDowntime?"),
        ("maxDowntime=soon", "maxDowntime: 'soon' is not a duration"),
        ("queuePriority=high", "queuePriority: Input should be a valid integer"),
    ],
)
def test_what_can_not_be_set_is_refused_with_what_can(given, says):
    with pytest.raises(click.BadParameter, match=r"^.") as refused:
        Override().convert(given, None, None)
    assert says in refused.value.message


class Cluster:
    """Says what a user who may do little is told."""

    def __init__(self, *, policy=None, nodes=("node-a", "node-b")):
        self._answers = {"policy": policy, "nodes": nodes}

    def _answer(self, name):
        if isinstance(self._answers[name], Exception):
            raise self._answers[name]
        return self._answers[name]

    def policy(self, _):
        return self._answer("policy")

    def nodes(self):
        return list(self._answer("nodes"))


FORBIDDEN = Failure("forbidden")


@pytest.mark.parametrize(
    "cluster",
    [
        Cluster(),
        Cluster(policy=FORBIDDEN),
        Cluster(nodes=FORBIDDEN),
        Cluster(policy=FORBIDDEN, nodes=FORBIDDEN),
    ],
)
def test_who_may_not_look_at_policies_or_nodes_may_ask_for_migrations(cluster):
    names_must_exist(cluster, {**ASKED, "policy": "balanced"})


@pytest.mark.parametrize(
    ("cluster", "says"),
    [
        (Cluster(policy=NotFoundFailure("gone")), "gone"),
        (Cluster(policy=UnreachableFailure("away")), "away"),
        (Cluster(nodes=UnreachableFailure("away")), "away"),
        (Cluster(nodes=("node-a", "node-c")), "there is no Node node-b; did you mean node-c?"),
    ],
)
def test_a_name_that_does_not_exist_is_refused_before_anything_is_created(cluster, says):
    with pytest.raises(Failure) as refused:
        names_must_exist(cluster, {**ASKED, "policy": "balanced"})
    assert refused.value.message.startswith(says)


class Migrations:
    """Those that may be seen, everywhere or in the namespace alone."""

    def __init__(self, *objects, everywhere=True):
        self._objects = objects
        self._everywhere = everywhere

    def migrations(self, *, everywhere):
        if everywhere and not self._everywhere:
            raise FORBIDDEN
        return list(self._objects)


def of(vm, phase, source="node-a"):
    spec = {"vm": vm, "sourceNode": source, "targetNode": "node-c"}
    return {"metadata": {"name": f"{vm}-{phase}"}, "spec": spec, "status": {"phase": phase}}


@pytest.mark.parametrize("everywhere", [True, False])
def test_one_that_goes_on_with_the_same_vm_is_seen(everywhere):
    there = [of("db-1", "Running"), of("db-1", "Failed"), of("db-2", "Running"), of("db-1", "Pending", "x")]
    found = going_on(Migrations(*there, everywhere=everywhere), ASKED)
    assert [each.metadata.name for each in found] == ["db-1-Running"]


@pytest.mark.parametrize(
    ("words", "chosen"),
    [(["--copy-storage"], "all"), (["--copy-storage=incremental"], "incremental"), ([], None)],
)
def test_copying_the_disks_needs_no_value(words, chosen):
    given = ["vm", "--from", "a", "--to", "b", *words]
    assert migrate_command.make_context("migrate", given).params["copy_storage"] == chosen


def test_a_name_that_nothing_has_gets_the_nearest_one_or_all():
    assert did_you_mean("balance", ["balanced", "gentle"]) == "did you mean balanced?"
    assert did_you_mean("x", ["balanced", "gentle"]) == "there are: balanced, gentle"
    assert (
        did_you_mean("x", [f"n{number}" for number in range(7)])
        == "there are: n0, n1, n2, n3, n4, and 2 more"
    )
    assert did_you_mean("x", []) == ""
