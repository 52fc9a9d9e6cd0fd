"""Keep of a released wheel what the tests of version skew run: the operator, the agent and the API between them.

    python tests/released/keep.py dist/vmferry-0.2.0-py3-none-any.whl

puts it beside this file, in the place of the release before. The same wheel makes the same file.
"""

import sys
import zipfile
from pathlib import Path

_KEPT = ("vmferry_api", "vmferry_kube", "vmferry_operator", "vmferry_agent")
_HERE = Path(__file__).parent
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


def keep(wheel: Path, directory: Path = _HERE) -> Path:
    """The file that is kept of it; what was kept of other wheels is removed."""
    kept = directory / wheel.name
    with zipfile.ZipFile(wheel) as whole:
        found = {name: whole.read(name) for name in sorted(whole.namelist()) if _is_kept(name)}
    for each in directory.glob("vmferry-*.whl"):
        each.unlink()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as part:
        for name, content in found.items():
            entry = zipfile.ZipInfo(name, _LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            part.writestr(entry, content)
    return kept


def _is_kept(name: str) -> bool:
    package = name.partition("/")[0]
    return package in _KEPT or name.endswith((".dist-info/METADATA", ".dist-info/licenses/LICENSE"))


if __name__ == "__main__":
    sys.stdout.write(f"{keep(Path(sys.argv[1]))}\n")
