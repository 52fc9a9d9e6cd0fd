"""Those templates of the chart that no value changes, made from the kustomizations that they must equal.

`python manifests/generate_chart.py` writes them; with `--check` it only says whether it would change any.
"""

import re
import subprocess
import sys
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
HEAD = "{{- /* Written by `make chart` from manifests/%s; edit that. */ -}}\n"
BASE = {
    "crds": ("CustomResourceDefinition",),
    "rbac": ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"),
    "admission": ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
    "flow-schema": ("FlowSchema",),
}
"""The kinds of each template that comes from manifests/base."""
CONDITIONS = {"crds": "crds.install", "admission": "admission.enabled", "monitoring": "monitoring.enabled"}
"""The values that switch a template on."""
KEEP = {"helm.sh/resource-policy": "keep"}
"""On what Helm must not remove: with a kind go all its objects."""


def kustomized(directory: Path) -> list[Object]:
    """All objects of a kustomization."""
    kubectl = Path(sys.executable).parent / "kubectl"
    built = subprocess.run(
        [str(kubectl), "kustomize", str(directory)], check=True, capture_output=True, text=True, timeout=60
    )
    return list(yaml.safe_load_all(built.stdout))


def template(objects: list[Object], *, source: str, condition: str | None) -> str:
    """The text of a template that gives these objects, in the namespace of the release."""
    body = yaml.safe_dump_all(map(_kept, objects), sort_keys=False, width=10_000, allow_unicode=True)
    body = re.sub(r"\{\{|\}\}", lambda braces: f'{{{{ "{braces[0]}" }}}}', body)
    body = body.replace(NAMESPACE, "{{ .Release.Namespace }}")
    if condition is not None:
        body = f"{{{{- if .Values.{condition} }}}}\n{body}{{{{- end }}}}\n"
    return HEAD % source + body


def templates() -> Iterator[tuple[str, str]]:
    """Each template's file name and text."""
    base, monitoring = kustomized(MANIFESTS / "base"), kustomized(MANIFESTS / "monitoring")
    for name, kinds in BASE.items():
        if objects := [each for each in base if each["kind"] in kinds]:
            yield f"{name}.yaml", template(objects, source="base", condition=CONDITIONS.get(name))
    yield "monitoring.yaml", template(monitoring, source="monitoring", condition=CONDITIONS["monitoring"])


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


def _kept(manifest: Object) -> Object:
    if manifest["kind"] != "CustomResourceDefinition":
        return manifest
    metadata = manifest["metadata"]
    return {**manifest, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), **KEEP}}}


if __name__ == "__main__":
    main()
