"""A node's control groups: one in each hierarchy of this machine, gone when the node is."""

import os
from collections.abc import Iterator
from pathlib import Path

from vmferry_lab.errors import LabError
from vmferry_lab.hosts import kernel_names
from vmferry_lab.until import until

ROOT = Path("/sys/fs/cgroup")
_TIMEOUT = 20.0
_NEEDED = {"cpu", "memory", "pids"}
"""The controllers that a kubelet does not go without."""
_WEIGHTS = {"cpu.shares": "16384", "cpu.weight": "1600"}
"""All pods of a node together against each single process of this machine: as many as a busy machine has."""


def name(lab: Path, node: str) -> str:
    """What a node's control group is called, in each hierarchy."""
    return f"{kernel_names.cgroups(lab)}{node}"


def create(lab: Path, node: str) -> None:
    """Make a node's, anew: what is left from before a loss of power would keep its kubelet busy for a minute.

    Raises:
        LabError: The kernel refuses.
    """
    _remove(name(lab, node))
    for hierarchy in _hierarchies():
        group = hierarchy / name(lab, node)
        group.mkdir()
        for file in ("cpuset.cpus", "cpuset.mems"):  # version 1 starts with none
            if (hierarchy / file).exists():
                (group / file).write_text((hierarchy / file).read_text())
        for file, weight in _WEIGHTS.items():
            if (group / file).exists():
                (group / file).write_text(weight)


def remove_all(lab: Path) -> None:
    """Remove those of all of a lab's nodes; whatever ran there has been stopped.

    Raises:
        LabError: Something still runs there.
    """
    _remove(f"{kernel_names.cgroups(lab)}*")


def check_possible(root: Path = ROOT) -> None:
    """See whether there are the controllers that a kubelet needs.

    Raises:
        LabError: There are not.
    """
    unified = root / "cgroup.controllers"
    found = set(unified.read_text().split()) if unified.exists() else {each.name for each in root.glob("*")}
    if missing := sorted(_NEEDED - found):
        raise LabError(f"{root} has no controller {' nor '.join(missing)}, which a kubelet needs")
    if unified.exists() and not set((root / "cgroup.subtree_control").read_text().split()) >= _NEEDED:
        raise LabError(
            f"{unified.parent}/cgroup.subtree_control does not hand {', '.join(sorted(_NEEDED))} on"
        )
    if not os.access(root / ("" if unified.exists() else "memory"), os.W_OK):
        raise LabError(f"{root} can't be written")


def _hierarchies() -> list[Path]:
    """Version 1 has several, version 2 one; a link such as cpu is a second name of one."""
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    if not ROOT.is_dir():
        return []
    return [
        each for each in sorted(ROOT.iterdir()) if not each.is_symlink() and (each / "cgroup.procs").exists()
    ]


def _remove(pattern: str) -> None:
    groups = [group for hierarchy in _hierarchies() for group in hierarchy.glob(pattern)]
    try:
        until(f"the end of {pattern}", lambda: all(_removed(group) for group in groups), timeout=_TIMEOUT)
    except TimeoutError as error:
        raise LabError(f"{error}; something still runs there") from error


def _removed(group: Path) -> bool:
    """Whether it is gone, which takes until the last of its processes has ended."""
    for each in _innermost_first(group):
        try:
            each.rmdir()
        except FileNotFoundError:
            continue
        except OSError:  # not empty yet
            return False
    return True


def _innermost_first(group: Path) -> Iterator[Path]:
    for directory, _, _ in os.walk(group, topdown=False):
        yield Path(directory)
