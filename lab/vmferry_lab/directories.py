"""A lab's directory: marked, so that `down` removes no other, and worked in by one process at a time."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vmferry_lab.errors import LabError

CHECKOUT = Path(__file__).parents[2]
MANIFESTS = CHECKOUT / "manifests"
"""What is applied to a cluster."""
_MARKER = ".vmferry-lab"


def default_directory() -> Path:
    """Where a lab is unless said otherwise: short, because of the sockets below it."""
    own = Path(tempfile.gettempdir()) / f"vmferry-lab-{os.getuid()}"
    return Path(os.environ.get("VMFERRY_LAB_DIR") or own)


def prepare(directory: Path) -> None:
    """Make it, or take an empty one or a lab's.

    Raises:
        LabError: It is something else, or somebody else's.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if directory.stat().st_uid != os.geteuid():  # /tmp is everybody's: whose it is would get all keys
        raise LabError(f"{directory} belongs to another user; take another one (--dir)")
    check(directory)
    directory.chmod(0o711)  # the hosts' user must get through


def check(directory: Path) -> None:
    """See that it is a lab's, or empty.

    Raises:
        LabError: It is neither.
    """
    if not (directory / _MARKER).exists() and any(directory.iterdir()):
        raise LabError(f"{directory} is no lab's directory, and not empty; take another one (--dir)")


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Mark it, and keep other processes off; the kernel ends that with this process, however it dies.

    Raises:
        LabError: Another process is at work there.
    """
    with (directory / _MARKER).open("a") as marker:
        try:
            fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LabError(
                f"{directory}: another `vmferry-lab up` or `down` is at work there; wait for it, "
                "or kill it and take the lab down"
            ) from error
        yield
