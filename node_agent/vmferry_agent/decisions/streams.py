"""Which of the streams that come in to a host are dead, by what the kernel tells of them (ss -i)."""

import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

_ENDS = re.compile(r"^\s*\d+\s+\d+\s+(?P<local>\S+):(?P<port>\d+)\s+(?P<peer>\S+):(?P<peer_port>\d+)")
_LAST_RECEIVED = re.compile(r"\blastrcv:(\d+)")


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A TCP connection from another host's QEMU."""

    port: int
    """This side's."""
    peer: str
    """The other side's address, as ss writes it."""
    peer_port: int
    silent_for: timedelta
    """Since the kernel has received anything by it."""


def read_streams(told: str) -> list[Stream]:
    """The connections that `ss -Hnti` tells: two lines each, the ends and the figures."""
    found = []
    ends: re.Match[str] | None = None
    for line in told.splitlines():
        if (match := _ENDS.match(line)) is not None:
            ends = match
        elif ends is not None and (last := _LAST_RECEIVED.search(line)) is not None:
            stream = Stream(
                port=int(ends["port"]),
                peer=ends["peer"],
                peer_port=int(ends["peer_port"]),
                silent_for=timedelta(milliseconds=int(last[1])),
            )
            found.append(stream)
            ends = None
    return found


def dead(streams: Collection[Stream], at_least: timedelta) -> list[Stream]:
    """The streams of hosts from which nothing has come for so long by any of them.

    A single one says nothing: of parallel connections the first rests while the others carry a long pass.
    """
    by_peer = defaultdict(list)
    for stream in streams:
        by_peer[stream.peer].append(stream)
    return [
        stream
        for several in by_peer.values()
        if all(each.silent_for >= at_least for each in several)
        for stream in several
    ]
