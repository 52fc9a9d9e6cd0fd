"""The chart, rendered by the real helm."""

import subprocess

import pytest
import yaml
from objects_by_name import by_name

from generate_chart import MANIFESTS, NAMESPACE
from vmferry_lab.helm import find_or_build_helm

CHART = MANIFESTS / "chart"
TIMEOUT = 60


@pytest.fixture(scope="session")
def helm():
    """Runs helm; what it prints, and what it says against it."""
    program = find_or_build_helm(print)

    def run(*words):
        return subprocess.run(
            [str(program), *words], capture_output=True, text=True, timeout=TIMEOUT, check=False
        )

    return run


@pytest.fixture
def rendered(helm, tmp_path):
    """Renders the chart with values; the text, or what helm says against them."""

    def render(values=None, namespace=NAMESPACE):
        file = tmp_path / "values.yaml"
        file.write_text(yaml.safe_dump(values or {}))
        done = helm("template", "vmferry", str(CHART), "--namespace", namespace, "--values", str(file))
        return done.stdout or done.stderr

    return render


@pytest.fixture
def chart(rendered):
    """Renders the chart with values; its objects by kind and name."""

    def objects(values=None, namespace=NAMESPACE):
        return by_name(yaml.safe_load_all(rendered(values, namespace)))

    return objects
