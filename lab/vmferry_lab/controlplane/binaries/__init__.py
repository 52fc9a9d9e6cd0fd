"""The control plane's programs: found, or built once from Go modules.

They are looked for in $KUBEBUILDER_ASSETS (setup-envtest's directory), then in the user's cache, and otherwise
built into the cache; go.mod beside this file says which versions.
"""

import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from vmferry_lab.cache import Say, cache_directory, one_filler
from vmferry_lab.controlplane.binaries.building import go_build
from vmferry_lab.controlplane.binaries.go import go_program
from vmferry_lab.errors import LabError

_MODULE = Path(__file__).parent
_KUBERNETES = "k8s.io/kubernetes"
_ETCD = "go.etcd.io/etcd/server/v3"
_PACKAGES = {
    "etcd": _ETCD,
    "kube-apiserver": f"{_KUBERNETES}/cmd/kube-apiserver",
    "kube-controller-manager": f"{_KUBERNETES}/cmd/kube-controller-manager",
}


@dataclass(frozen=True)
class Binaries:
    """Where the programs are."""

    etcd: Path
    apiserver: Path
    controller_manager: Path


def find_or_build(say: Say) -> Binaries:
    """The programs, built if need be (6 minutes on 2 cores).

    Raises:
        LabError: They can't be built.
    """
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    found = {name: Path(assets) / name for name in _PACKAGES if assets and (Path(assets) / name).is_file()}
    if missing := [name for name in _PACKAGES if name not in found]:
        cache = _build_missing(missing, say)
        found |= {name: cache / name for name in missing}
    return Binaries(found["etcd"], found["kube-apiserver"], found["kube-controller-manager"])


def _build_missing(names: list[str], say: Say) -> Path:
    kubernetes, etcd = _version_of(_KUBERNETES), _version_of(_ETCD)
    cache = cache_directory() / f"kubernetes-{kubernetes}_etcd-{etcd}"
    with one_filler(cache, "builds the control plane", say):
        to_build = [name for name in names if not (cache / name).is_file()]
        if to_build:
            say(f"building {', '.join(to_build)} from Go modules, once: about 6 minutes on 2 cores")
            _build(to_build, cache, kubernetes, say)
    return cache


def _build(names: list[str], cache: Path, kubernetes: str, say: Say) -> None:
    go = go_program(cache_directory(), say)
    major, minor = kubernetes.removeprefix("v").split(".")[:2]
    version = "k8s.io/component-base/version"
    variables = {"gitVersion": kubernetes, "gitMajor": major, "gitMinor": minor}
    flags = " ".join(["-s", "-w", *(f"-X {version}.{name}={value}" for name, value in variables.items())])
    scratch = cache / "building"
    shutil.rmtree(scratch, ignore_errors=True)  # of a builder that was killed
    scratch.mkdir()
    for file in ("go.mod", "go.sum"):
        shutil.copy(_MODULE / file, scratch)
    for number, name in enumerate(names, start=1):
        began = time.monotonic()
        say(f"  {number}/{len(names)} {name} …")
        try:
            go_build(go, scratch, ["-ldflags", flags, "-o", name, _PACKAGES[name]])
        except LabError as error:
            raise LabError(
                f"can't build the control plane: {error}; point KUBEBUILDER_ASSETS at a directory with etcd, "
                "kube-apiserver and kube-controller-manager if you have them"
            ) from error
        (scratch / name).replace(cache / name)
        say(f"  {number}/{len(names)} {name}: built in {time.monotonic() - began:.0f} s")
    shutil.rmtree(scratch)


def _version_of(module: str) -> str:
    text = (_MODULE / "go.mod").read_text()
    match = re.search(rf"^\s*{re.escape(module)} (v\S+)", text, re.MULTILINE)
    if match is None:
        raise LabError(f"go.mod beside {__file__} does not require {module}")
    return match[1]
