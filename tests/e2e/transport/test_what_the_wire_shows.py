"""What a third party on the data link can read of a migration: all of a plain one, nothing of an encrypted one."""

import pytest
from asked_migration import in_post_copy_on_both, reason
from wire import pages, pieces

from vmferry_api.conditions import ConditionType, find_condition
from vmferry_api.migrations import MigrationTechnique, Phase, Storage
from vmferry_lab.components import agent_name
from vmferry_lab.hosts.faults import Traffic
from vmferry_lab.hosts.node import NodeHost

MIB = 2**20
MEMORY = 32 * MIB
SLOW = {"maxDowntime": "100ms", "bandwidth": {"perMigration": "2Mi", "postCopy": "2Mi"}}
"""The 40 MiB take twenty seconds."""
TO_POST_COPY = {"after": {"elapsed": "1s"}, "switchToPostCopy": {}}
REQUIRED = {"encryption": "Required"}


@pytest.fixture
def plainly_reached(lab, nodes, monkeypatch):
    """node-b's agent says that its libvirtd is reached without encryption."""
    with monkeypatch.context() as patch:
        patch.setattr(NodeHost, "connect_uri", NodeHost.plain_connect_uri)
        lab.components.restart(agent_name("node-b"))
    yield
    lab.components.restart(agent_name("node-b"))


def test_without_encryption_the_memory_can_be_read(recognizable, wire, move, assert_runs_only_on):
    guest = recognizable()
    with wire:
        done = move(guest, maxDowntime="1s").ends()
    assert done.status.phase == Phase.SUCCEEDED
    secrets = pages(MEMORY)
    assert wire.shows(*secrets) > len(secrets) * 0.9  # the rest lies across two packets
    assert_runs_only_on(guest, "node-b")


def test_without_encryption_the_disk_can_be_read(lab, recognizable, wire, move):
    guest = recognizable(local_disk=True)
    secrets = pieces(lab.node("node-a").local_disks.seen_here / f"{guest.name}.disk")
    with wire:
        done = move(guest, storage=Storage.COPY_ALL, maxDowntime="1s").ends(timeout=120)
    assert done.status.phase == Phase.SUCCEEDED
    assert wire.shows(*secrets) > len(secrets) * 0.9


def test_by_a_plain_way_between_the_daemons_the_domain_can_be_read(plainly_reached, recognizable, wire, move):
    guest = recognizable()
    with wire:
        done = move(guest, maxDowntime="1s").ends()
    assert done.status.phase == Phase.SUCCEEDED
    assert wire.shows(f"<uuid>{guest.uuid}</uuid>".encode()) == 1


@pytest.mark.parametrize(
    "spec",
    [
        {"maxDowntime": "1s", "start": REQUIRED},
        {"maxDowntime": "1s", "start": {**REQUIRED, "parallelConnections": 2}},
        {**SLOW, "steps": [TO_POST_COPY], "start": REQUIRED},
    ],
    ids=["pre-copy", "parallel connections", "post-copy"],
)
def test_of_an_encrypted_migration_nothing_can_be_read(spec, recognizable, wire, move, assert_runs_only_on):
    guest = recognizable()
    with wire:
        done = move(guest, **spec).ends(timeout=120)
    assert done.status.phase == Phase.SUCCEEDED
    assert ("steps" in spec) == (done.status.desired.technique == MigrationTechnique.POST_COPY)
    assert wire.size > MEMORY
    assert wire.shows(*pages(MEMORY), guest.uuid.encode()) == 0
    assert_runs_only_on(guest, "node-b")


def test_of_a_disk_that_is_copied_encrypted_nothing_can_be_read(
    lab, recognizable, wire, move, assert_runs_only_on
):
    guest = recognizable(local_disk=True)
    before = guest.local_disk_checksum(lab.node("node-a"))
    secrets = pieces(lab.node("node-a").local_disks.seen_here / f"{guest.name}.disk")
    with wire:
        done = move(guest, storage=Storage.COPY_ALL, maxDowntime="1s", start=REQUIRED).ends(timeout=120)
    assert done.status.phase == Phase.SUCCEEDED
    assert guest.local_disk_checksum(lab.node("node-b")) == before
    assert wire.size > MEMORY + 32 * MIB
    assert wire.shows(*secrets, *pages(MEMORY)) == 0
    assert_runs_only_on(guest, "node-b")


def test_a_post_copy_that_is_taken_up_again_stays_encrypted(
    nodes, recognizable, wire, move, assert_runs_only_on
):
    guest = recognizable()
    with wire:
        migration = move(
            guest, **SLOW, steps=[TO_POST_COPY], start=REQUIRED, postCopyRecovery={"backoff": "1s"}
        )
        migration.wait("to be in post-copy on both hosts", in_post_copy_on_both)
        nodes["node-a"].reset(Traffic.STREAM)
        done = migration.ends(timeout=120)
    assert done.status.phase == Phase.SUCCEEDED
    assert done.status.attempts[-1].interrupted is not None
    assert wire.size > MEMORY
    assert wire.shows(*pages(MEMORY), guest.uuid.encode()) == 0
    assert_runs_only_on(guest, "node-b")


def test_encryption_is_refused_where_the_daemons_would_talk_plainly(
    plainly_reached, recognizable, wire, move, assert_runs_only_on
):
    guest = recognizable()
    with wire:
        migration = move(guest, maxDowntime="1s", start=REQUIRED)
        seen = migration.wait(
            "to be refused",
            lambda each: reason(each, ConditionType.ACCEPTED) == "EncryptedTransportNotPossible",
        )
    told = find_condition(seen.status.conditions, ConditionType.ACCEPTED).message
    assert "qemu+tcp://" in told
    assert "--connect-uri of qemu+tls://HOST/system" in told
    assert seen.status.attempts == []
    assert wire.shows(*pages(MEMORY), guest.uuid.encode()) == 0
    assert_runs_only_on(guest, "node-a")
