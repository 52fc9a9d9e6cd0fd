"""A cluster comes and goes, and the machine is as it was."""

import json
from pathlib import Path

from machine import machine

from half_made_labs import half_made_lab
from vmferry_lab import processes
from vmferry_lab.cluster import cgroups
from vmferry_lab.cluster.pods import Pods
from vmferry_lab.fixtures import new_lab
from vmferry_lab.hosts import kernel_names
from vmferry_lab.hosts.commands import run
from vmferry_lab.hosts.kinds import HostsKind


def left_of(directory):
    """What is there of a lab, by the names that no other lab has."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    tag = kernel_names.interfaces(directory)
    return {
        "processes": processes.of_lab(directory),
        "groups": list(cgroups.ROOT.glob(f"**/{kernel_names.cgroups(directory)}*")),
        "links": [
            each["ifname"] for each in json.loads(run(["ip", "-json", "link"])) if tag in each["ifname"]
        ],
        "mounts": [each for each in mounts if str(directory) in each],
        "directory": [directory] if directory.exists() else [],
    }


def test_nothing_is_changed_while_it_is_up(machine_before, cluster):
    assert machine() == machine_before
    for node in cluster.nodes:
        seen = run([*node.command(), "cat", "/proc/sys/kernel/panic", "/proc/sys/vm/overcommit_memory"])
        assert seen.split() == ["10", "1"]  # what the kubelet wants, and would set


def test_nothing_is_left_of_one_that_is_gone():
    with new_lab() as lab:
        lab.up(
            hosts=1,
            kind=HostsKind.CLUSTER,
            components=False,
            pods=Pods.shipped(components=False),
            say=lambda _text: None,
        )
        assert left_of(lab.directory)["groups"]
    assert_nothing_left_of(lab)


def test_nothing_is_left_of_one_whose_creator_was_killed_half_way():
    lab = half_made_lab(HostsKind.CLUSTER)
    assert left_of(lab.directory)["processes"]
    lab.down()
    assert_nothing_left_of(lab)


def assert_nothing_left_of(lab):
    """Nobody could tell that it was there."""
    assert {what: left for what, left in left_of(lab.directory).items() if left} == {}
