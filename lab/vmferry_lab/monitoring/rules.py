"""The rules of a PrometheusRule as Prometheus itself reads them."""

from pathlib import Path

import yaml


def plain_rules(manifest: Path) -> str:
    """The file of rules that the manifest holds for the Prometheus Operator."""
    groups = yaml.safe_load(manifest.read_text())["spec"]["groups"]
    return yaml.safe_dump({"groups": groups}, sort_keys=False, width=1000)
