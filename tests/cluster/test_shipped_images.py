"""The shipped images under the shipped security context, as it is from inside."""

import pytest

from vmferry_lab.kubectl import KubectlError

COMPONENTS = ("operator", "agent")


def status_of(pod):
    """What the kernel says of the container's first process."""
    lines = pod.run("cat", "/proc/1/status").splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


@pytest.mark.parametrize("component", COMPONENTS)
def test_all_pods_serve(cluster, component):
    pods = [pod for pod in cluster.pods(component) if not pod.ends]
    assert [pod.ready for pod in pods] == [True, True]
    assert {pod.node for pod in pods} == {"node-a", "node-b"}


@pytest.mark.parametrize("component", COMPONENTS)
def test_no_process_has_a_capability_or_can_get_one(cluster, component):
    for pod in cluster.pods(component):
        status = status_of(pod)
        for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[capabilities][0], 16) == 0, capabilities
        assert status["NoNewPrivs"] == ["1"]
        assert status["Seccomp"] == ["2"]
        assert "0" not in {*status["Uid"], *status["Gid"], *status["Groups"]}


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_root_file_system_is_read_only(cluster, component):
    for pod in cluster.pods(component):
        with pytest.raises(KubectlError, match="Read-only file system"):
            pod.run("touch", "/opt/vmferry/x")


def test_only_the_agent_sees_libvirt_and_only_its_node_s(cluster):
    for pod in cluster.pods("agent"):
        sockets = pod.run("ls", "/run/libvirt").split()
        assert "libvirt-sock" in sockets
        assert pod.run("cat", "/proc/sys/kernel/hostname").strip() == pod.name  # no host network
    for pod in cluster.pods("operator"):
        with pytest.raises(KubectlError, match="No such file"):
            pod.run("ls", "/run/libvirt")
        with pytest.raises(KubectlError, match="No module named 'libvirt'"):
            pod.run("python3", "-c", "import libvirt")
