"""The release before, of which the tests of version skew run the operator and the agents."""

import runpy
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from vmferry_lab.components import packages_of

RELEASED = Path(__file__).parents[2] / "released"
(BEFORE,) = RELEASED.glob("vmferry-*.whl")
keep = runpy.run_path(str(RELEASED / "keep.py"))["keep"]


@pytest.mark.parametrize(
    "package", ["vmferry_operator.main", "vmferry_agent.decisions.ramp", "vmferry_kube.watching"]
)
def test_a_component_that_is_started_from_it_runs_nothing_of_this_checkout(package):
    look = "from importlib.metadata import version; print(it.__file__, version('vmferry'))"
    run = [sys.executable, "-c", f"import {package} as it; {look}"]
    told = subprocess.run(run, env=packages_of(BEFORE), capture_output=True, text=True, check=True).stdout
    place, found = told.split()
    assert place.startswith(str(BEFORE))
    assert BEFORE.name.startswith(f"vmferry-{found}-")
    assert found != version("vmferry")


def test_what_is_kept_of_a_wheel_is_the_same_each_time_and_takes_the_place_of_the_one_before(tmp_path):
    wheel = tmp_path / "dist" / "vmferry-9.9.9-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as made:
        for name in (
            "vmferry_api/__init__.py",
            "kubectl_vmferry/main.py",
            "vmferry-9.9.9.dist-info/METADATA",
        ):
            made.writestr(name, "")
    kept = tmp_path / "released"
    kept.mkdir()
    (kept / "vmferry-9.9.8-py3-none-any.whl").touch()
    first = keep(wheel, kept).read_bytes()
    assert keep(wheel, kept).read_bytes() == first
    assert [each.name for each in kept.iterdir()] == [wheel.name]
    assert zipfile.ZipFile(kept / wheel.name).namelist() == [
        "vmferry-9.9.9.dist-info/METADATA",
        "vmferry_api/__init__.py",
    ]
