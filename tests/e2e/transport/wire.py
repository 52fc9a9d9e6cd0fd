"""What passes on a node's data link, looked at by a third party."""

import subprocess
import sys
from pathlib import Path
from types import TracebackType

from vmferry_lab.hosts.networks import DATA
from vmferry_lab.hosts.node import NodeHost

_CAPTURE = Path(__file__).with_name("capture.py")
_ENDING = 30.0
_PAGE, _WORD = 4096, 4
_WORDS = 16
"""Of a page that are looked for: long enough to come about by no chance, short enough to lie in one packet."""


class Wire:
    """Captures within a `with`; afterwards it can be searched.

    Args:
        node: Whose data link.
        file: Where to keep what passes.
    """

    def __init__(self, node: NodeHost, file: Path) -> None:
        self._node, self._file = node, file

    def __enter__(self) -> "Wire":
        enter = ["nsenter", "--target", str(self._node.first_process.pid), "--net"]
        self._process = subprocess.Popen(
            [*enter, sys.executable, str(_CAPTURE), DATA, str(self._file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "captures\n"
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        said, _ = self._process.communicate(timeout=_ENDING)
        self.lost = int(said)
        self._content = self._file.read_bytes()
        self._file.unlink()

    @property
    def size(self) -> int:
        """Bytes that have passed."""
        return len(self._content)

    def shows(self, *secrets: bytes) -> int:
        """How many of them could be read."""
        assert self.lost == 0, "the capture has missed packets"
        return sum(secret in self._content for secret in secrets)


def page(number: int) -> bytes:
    """How a page of an incompressible guest's working set begins that was written once (guest.c: fill)."""
    value = (number * 0x9E3779B1 & 0xFFFFFFFF) | 1
    words = []
    for _ in range(_WORDS):
        words.append(value)
        value ^= value << 13 & 0xFFFFFFFF
        value ^= value >> 17
        value ^= value << 5 & 0xFFFFFFFF
    return b"".join(word.to_bytes(_WORD, "little") for word in words)


def pages(memory: int, every: int = 64) -> list[bytes]:
    """The beginnings of some pages of so many bytes."""
    return [page(number) for number in range(0, memory // _PAGE, every)]


def pieces(disk: Path, every: int = 2**18, size: int = 64) -> list[bytes]:
    """Some of what is on a disk and nowhere twice."""
    content = disk.read_bytes()
    found = (content[place : place + size] for place in range(0, len(content), every))
    return [each for each in found if len(set(each)) > size // 4]
