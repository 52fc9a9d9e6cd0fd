"""Which of the streams that come in to a host are dead, by what the kernel tells of them (ss -i)."""

import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

_ENDS = re.compile(r"^\s*\d+\s+\d+\s+(?P<local>\S+):(?P<port>\d+)\s+(?P<peer>\S+):(?P<peer_port>\d+)")
_RECEIVED = re.compile(r"\bbytes_received:(\d+)")
_LEAST = 2**20
"""Bytes that the stream of a VM's memory has brought by the time that it can be interrupted in post-copy."""
_FIRST_EPHEMERAL = 32768
"""Where Linux' ports for the ends that connect begin."""
_LAST_RECEIVED = re.compile(r"\blastrcv:(\d+)")


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A TCP connection from another host's QEMU."""

    port: int
    """This side's."""
    peer: str
    """The other side's address, as ss writes it."""
    peer_port: int
    received: int
    """Bytes that have come by it."""
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
                received=int(received[1]) if (received := _RECEIVED.search(line)) else 0,
                silent_for=timedelta(milliseconds=int(last[1])),
            )
            found.append(stream)
            ends = None
    return found


def dead(streams: Collection[Stream], ports: range, at_least: timedelta) -> list[Stream]:
    """The streams of the one host from which nothing has come for so long by any of its streams.

    Only what is a migration's stream for certain: it has come from a port as the ends that connect have, not from
    a service or another QEMU's port, whose connections this host has begun itself; and it has brought much. A
    single silent one says nothing: of parallel connections the first rests while the others carry a long pass.
    And where several hosts are silent it is this host that is cut off: TCP goes on with all once it is back.
    """
    by_peer = defaultdict(list)
    for stream in streams:
        comes = stream.peer_port >= _FIRST_EPHEMERAL and stream.peer_port not in ports
        if comes and stream.received >= _LEAST:
            by_peer[stream.peer].append(stream)
    silent = [several for several in by_peer.values() if all(each.silent_for >= at_least for each in several)]
    return silent[0] if len(silent) == 1 else []
