"""`make pictures`: watch and describe as a terminal shows them, from a recorded migration.

The recordings are objects as the API server told them (`kubectl get vmmig -o json`), on the lab's hosts, whose
names mean nothing elsewhere. The time is that of the recording: the same recording makes the same picture.
"""

import io
import json
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.terminal_theme import TerminalTheme

from kubectl_vmferry.policy_files import read_policies
from kubectl_vmferry.views.description import description
from kubectl_vmferry.views.screen import screen
from vmferry_api.migrations import VMMigration
from vmferry_api.policies import MigrationPolicySpec

HERE = Path(__file__).parent
POLICY = HERE.parents[1] / "lab" / "vmferry_lab" / "demo" / "policy.yaml"
"""The one that the recorded migration goes by."""
_WIDTH = 118
_DARK, _LIGHT = (24, 26, 31), (208, 212, 220)
_COLOURS = [
    (224, 92, 92),  # red
    (120, 190, 110),  # green
    (222, 180, 90),  # yellow
    (97, 160, 230),  # blue
    (190, 130, 220),  # magenta
    (86, 182, 194),  # cyan
]
_THEME = TerminalTheme(_DARK, _LIGHT, [_DARK, *_COLOURS, _LIGHT])


def watch(migration: VMMigration, policy: MigrationPolicySpec, now: datetime) -> RenderableType:
    """The live picture, of one moment."""
    return screen([migration], {migration.metadata.uid: policy}, now=now, rows=40)


PICTURES: dict[str, Callable[[VMMigration, MigrationPolicySpec, datetime], RenderableType]] = {
    "watch": watch,
    "describe": description,
}


def render(name: str) -> str:
    """One picture, as SVG."""
    raw = json.loads((HERE / f"{name}.json").read_text())
    (named,) = read_policies([(POLICY.name, POLICY.read_text())])
    migration = VMMigration.read(raw)
    console = Console(
        record=True, width=_WIDTH, file=io.StringIO(), color_system="truecolor", legacy_windows=False
    )
    console.print(PICTURES[name](migration, named.policy.spec, _moment(raw)))
    command = f"kubectl vmferry {name} {migration.metadata.name}"
    svg = console.export_svg(title=command, theme=_THEME, unique_id=f"vmferry-{name}")
    # the fonts would be fetched from somebody else's server; each terminal's own font does
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\s*<!--.*?-->", "", svg)
    svg = svg.replace("<svg ", '<svg xml:space="preserve" ', 1)  # or some viewers cut indents off
    svg = svg.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace")
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


def _moment(raw: dict[str, Any]) -> datetime:
    """When the object was written last."""
    times = [each["time"] for each in raw["metadata"]["managedFields"]]
    return datetime.fromisoformat(max(times)).astimezone(UTC) + timedelta(seconds=0.7)


def main() -> None:
    """Write them all."""
    for name in PICTURES:
        path = HERE / f"{name}.svg"
        path.write_text(render(name))
        sys.stdout.write(f"{path.name}\n")


if __name__ == "__main__":
    main()
