"""Helm: the one on PATH, or built once from its Go module; go.mod beside this file says which version."""

import shutil
from pathlib import Path

from vmferry_lab.cache import Say, cache_directory
from vmferry_lab.controlplane.binaries.building import build_missing, version_of
from vmferry_lab.errors import LabError

_MODULE = Path(__file__).parent
_HELM = "helm.sh/helm/v4"


def find_or_build_helm(say: Say) -> Path:
    """The program, built if need be (2 minutes on 2 cores).

    Raises:
        LabError: It can't be built.
    """
    own = shutil.which("helm")
    if own is not None:
        return Path(own)
    version = version_of(_HELM, _MODULE)
    cache = cache_directory() / f"helm-{version}"
    flags = f"-s -w -X {_HELM}/internal/version.version={version}"
    try:
        build_missing(
            {"helm": f"{_HELM}/cmd/helm"},
            ["-ldflags", flags],
            module=_MODULE,
            cache=cache,
            duration="2 minutes",
            say=say,
        )
    except LabError as error:
        raise LabError(f"can't build Helm: {error}; put helm on PATH if you have it") from error
    return cache / "helm"
