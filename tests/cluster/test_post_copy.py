"""Post-copy between the nodes of a real cluster, followed by agents in pods that have no capability at all."""

import re
from datetime import timedelta

import pytest
from asked_migration import in_post_copy_on_both, reason

from vmferry_api.conditions import ConditionType, is_true
from vmferry_api.features import Feature
from vmferry_api.migrations import AttemptOutcome, Phase
from vmferry_lab.directories import CHECKOUT
from vmferry_lab.hosts.commands import run
from vmferry_lab.hosts.faults import Traffic

SLOW = {"bandwidth": {"perMigration": "16Mi", "postCopy": "2Mi"}}
"""What the guest has written anew takes some 15 s to follow."""
SWITCH = {"after": {"passes": 2}, "switchToPostCopy": {}}
PATIENCE = 180
"""Seconds: TCP tries a stream anew after up to twice the time that it was cut for."""
INTERRUPTED = ConditionType.POST_COPY_INTERRUPTED


@pytest.fixture
def post_copy(hurt_cluster, migrate):
    """Brings a migration into a post-copy that takes a while."""

    def begin():
        moving = migrate(steps=[SWITCH], **SLOW)
        moving.wait("to be in post-copy on both nodes", in_post_copy_on_both)
        return moving

    return begin


def arrives_by_post_copy(moving):
    """The one attempt completes; the guest runs on the target alone, and has lost nothing."""
    done = moving.migration.ends(timeout=PATIENCE)
    assert done.status.phase == Phase.SUCCEEDED
    assert [(step.action, step.outcome) for step in done.status.steps] == [("switchToPostCopy", "Applied")]
    assert [each.outcome for each in done.status.attempts] == [AttemptOutcome.COMPLETED]
    moving.runs_only_on("node-b")
    return done


def test_agents_without_a_capability_know_that_their_hosts_can_do_post_copy_and_encryption(
    cluster, under_way
):
    for pod in cluster.pods("agent"):
        assert re.search(r"^CapEff:\s*0+$", pod.run("cat", "/proc/1/status"), re.MULTILINE)
    moving = under_way()
    seen = moving.migration.get()
    for report in (seen.status.source, seen.status.target):
        assert {Feature.POST_COPY, Feature.TLS} <= set(report.features)
    moving.arrives_in_one_attempt()


@pytest.fixture
def node_for_root(lab):
    """A node where only root may read what is configured, as many distributions have it."""
    node = lab.node("node-a")
    files = ["/etc/libvirt", "/etc/libvirt/qemu.conf"]
    run([*node.command(), "chgrp", "root", *files])
    run([*node.command(), "chmod", "g=", *files])
    run([*node.command(), "chmod", "o=", *files])
    yield node
    run([*node.command(), "chmod", "a+rX", *files])


def test_a_qemu_conf_that_only_root_may_read_is_told_until_the_group_gets_the_right(cluster, node_for_root):
    page = (CHECKOUT / "docs" / "install.md").read_text()
    given = re.findall(r"^\$ sudo (ch.*)$", page, re.MULTILINE)
    assert len(given) == 3
    look = ["vmferry-agent", "check", f"--connect-uri={node_for_root.connect_uri}"]
    said = cluster.agent("node-a").run(*look)
    for words in ("qemu.conf can't be read", "no post-copy", "no encrypted migrations"):
        assert words in said
    for each in given:
        run([*node_for_root.command(), *each.split()])
    said = cluster.agent("node-a").run(*look)
    assert re.search(r"^ok .*: .*PostCopy.*, TLS", said, re.MULTILINE), said
    assert "qemu.conf" not in said


def test_a_migration_that_stalls_is_switched_to_post_copy_and_arrives(migrate):
    moving = migrate(
        bandwidth={"perMigration": "16Mi", "postCopy": "8Mi"},  # so that it lasts, and is seen
        stallingLimit="2s",
        steps=[
            {"after": {"stalled": "2s"}, "setMaxDowntime": "200ms"},
            {"after": {"stalled": "2s"}, "switchToPostCopy": {}},
        ],
    )
    done = moving.migration.ends(timeout=PATIENCE)
    assert done.status.phase == Phase.SUCCEEDED
    assert [(step.action.split()[0], step.outcome) for step in done.status.steps] == [
        ("setMaxDowntime", "Applied"),
        ("switchToPostCopy", "Applied"),
    ]
    assert [each.outcome for each in done.status.attempts] == [AttemptOutcome.COMPLETED]
    moving.migration.tells("PostCopyStarted", "Migrated")
    moving.runs_only_on("node-b")


def test_a_post_copy_whose_stream_is_cut_goes_on_when_the_link_is_back(lab, post_copy):
    moving = post_copy()
    target = lab.node("node-b")
    target.drop(Traffic.STREAM)
    moving.wait("the silence to be told", lambda each: reason(each, INTERRUPTED) == "LinkSilent")
    target.heal()
    done = arrives_by_post_copy(moving)
    assert done.status.recovery.tries == 0
    assert done.status.recovery.end is not None


def test_a_post_copy_whose_whole_data_link_is_cut_is_brought_to_its_end_when_it_is_back(lab, post_copy):
    moving = post_copy()
    target = lab.node("node-b")
    target.cut()
    moving.wait(
        "the interruption to be told",
        lambda each: is_true(each.status.conditions, INTERRUPTED) and each.status.phase == Phase.RECOVERING,
    )
    target.heal()
    done = arrives_by_post_copy(moving)
    assert done.status.recovery.end is not None
    assert done.status.attempts[0].interrupted > timedelta(0)
