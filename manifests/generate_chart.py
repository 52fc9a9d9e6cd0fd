"""Those templates of the chart that no value changes, made from the kustomizations that they must equal.

`python manifests/generate_chart.py` writes them; with `--check` it only says whether it would change any.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import yaml

Object = dict[str, Any]

MANIFESTS = Path(__file__).parent
TEMPLATES = MANIFESTS / "chart" / "templates" / "generated"
NAMESPACE = "vmferry-system"
"""The kustomizations' own; the chart's is where it is installed."""
_HEAD = "{{- /* Written by `make chart` from manifests/%s; edit that. */ -}}\n"
_END = "{{- end }}\n"
BASE = {
    "crds": ("CustomResourceDefinition",),
    "rbac": ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"),
    "admission": ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
    "flow-schema": ("FlowSchema",),
}
"""The kinds of each template that comes from manifests/base."""
CONDITIONS = {"crds": "crds.install", "admission": "admission.enabled", "monitoring": "monitoring.enabled"}
"""The values that switch a template on."""
COMPONENTS = {"vms-by-namespace": "admission.vmsByNamespace"}
"""The components that are in the chart, each with the value that switches it on."""
_SELECTED = re.compile(r"^kind: (?:PodMonitor|PrometheusRule)\nmetadata:\n  labels:\n", re.MULTILINE)
"""The head of what a Prometheus selects by labels that differ between clusters."""
_OWN_LABELS = """\
    {{- with $.Values.monitoring.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
"""
KEEP = {"helm.sh/resource-policy": "keep"}
"""On what Helm must not remove: with a kind go all its objects."""


def kustomized(directory: Path) -> list[Object]:
    """All objects of a kustomization."""
    kubectl = Path(sys.executable).parent / "kubectl"
    built = subprocess.run(
        [str(kubectl), "kustomize", str(directory)], check=True, capture_output=True, text=True, timeout=60
    )
    return list(yaml.safe_load_all(built.stdout))


def composed(below: str, *components: str) -> list[Object]:
    """All objects of a kustomization below manifests with components."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.relpath(MANIFESTS, Path(directory).resolve())
        parts = [f"{path}/components/{name}" for name in components]
        own = {"resources": [f"{path}/{below}"], "components": parts}
        (Path(directory) / "kustomization.yaml").write_text(yaml.safe_dump(own))
        return kustomized(Path(directory))


def templates() -> Iterator[tuple[str, str]]:
    """Each template's file name and text."""
    base, monitoring = kustomized(MANIFESTS / "base"), kustomized(MANIFESTS / "monitoring")
    changed: list[Object] = []
    for name, value in COMPONENTS.items():
        component = composed("base", name)
        added = [each for each in component if each not in base]
        replaced = [each for each in base if each not in component]
        changed += replaced
        body = f"{{{{- if .Values.{value} }}}}\n{_text(added)}"
        body += f"{{{{- else }}}}\n{_text(replaced)}" if replaced else ""
        yield f"{name}.yaml", _HEAD % f"components/{name}" + body + _END
    for name, kinds in BASE.items():
        body = _text([each for each in base if each["kind"] in kinds and each not in changed])
        yield f"{name}.yaml", _HEAD % "base" + _switched(body, CONDITIONS.get(name))
    yield "monitoring.yaml", _HEAD % "monitoring" + _switched(_text(monitoring), CONDITIONS["monitoring"])


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; fail where something would be written.")
def main(*, check: bool) -> None:
    """Write the templates."""
    wanted = dict(templates())
    found = {path.name: path.read_text() for path in TEMPLATES.glob("*")}
    if check and wanted != found:
        differing = sorted(name for name in wanted | found if wanted.get(name) != found.get(name))
        raise click.ClickException(f"{', '.join(differing)}: not as manifests/ has it; run `make chart`")
    for name in found.keys() - wanted.keys():
        (TEMPLATES / name).unlink()
    for name, text in wanted.items():
        (TEMPLATES / name).write_text(text)


def _switched(body: str, value: str | None) -> str:
    return body if value is None else f"{{{{- if .Values.{value} }}}}\n{body}{_END}"


def _text(objects: list[Object]) -> str:
    """As a template gives them, in the namespace of the release."""
    text = yaml.safe_dump_all(map(_kept, objects), sort_keys=False, width=10_000, allow_unicode=True)
    text = re.sub(r"\{\{|\}\}", lambda braces: f'{{{{ "{braces[0]}" }}}}', text)
    text = _SELECTED.sub(lambda head: head[0] + _OWN_LABELS, text)
    return text.replace(NAMESPACE, "{{ .Release.Namespace }}")


def _kept(manifest: Object) -> Object:
    if manifest["kind"] != "CustomResourceDefinition":
        return manifest
    metadata = manifest["metadata"]
    return {**manifest, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), **KEEP}}}


if __name__ == "__main__":
    main()
