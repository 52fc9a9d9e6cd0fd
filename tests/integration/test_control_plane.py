"""The lab's control planes come and go without getting in each other's way."""

from vmferry_lab import processes
from vmferry_lab.kubectl import Kubectl
from vmferry_lab.lab import Lab


def test_two_at_once_are_apart_and_going_leaves_nothing(control_plane, tmp_path):
    other = Lab(tmp_path / "other")
    other.up_control_plane(say=lambda _: None)
    try:
        other.kubectl.run("create", "namespace", "only-here")
        assert "only-here" not in Kubectl(control_plane.kubeconfig()).run("get", "namespaces")
    finally:
        other.down()
    assert processes.of_lab(other.directory) == []
    assert not other.directory.exists()
