"""Whether another host's libvirt daemon answers at all.

libvirt's own connect has no deadline: over a link that is cut it hangs for two minutes, and its tries grow so far
apart that it notices a link that is back as late. The agent asks first, where it has seen that it can ask: in a
pod it may not reach what the daemons of the hosts reach.
"""

import asyncio
from typing import Protocol
from urllib.parse import urlsplit

from vmferry_agent.hypervisor.port import HypervisorUnreachable
from vmferry_api.transports import why_refused

_PORTS = {"tls": 16514, "tcp": 16509, "ssh": 22}
"""By the transport of a connection URI."""
_DEADLINE = 3.0


class Reach(Protocol):
    """Asks whether daemons answer."""

    async def learn(self, connect_uri: str) -> None:
        """See whether it can be asked; called while all is well."""

    async def check(self, connect_uri: str) -> None:
        """Raise HypervisorUnreachable where it does not answer; nothing where it can't be asked."""


class NetworkReach(Reach):
    """By TCP."""

    def __init__(self) -> None:
        self._known: set[tuple[str, int]] = set()

    async def learn(self, connect_uri: str) -> None:
        """See whether it can be asked; called while all is well."""
        end = end_of(connect_uri)
        if end is not None and end not in self._known and await _answers(*end):
            self._known.add(end)

    async def check(self, connect_uri: str) -> None:
        """Raise HypervisorUnreachable where it does not answer; nothing where it can't be asked."""
        end = end_of(connect_uri)
        if end in self._known and not await _answers(*end):
            raise HypervisorUnreachable(f"{end[0]}, port {end[1]}, does not answer: is the link back?")


def end_of(connect_uri: str) -> tuple[str, int] | None:
    """Where a daemon of another host listens; None: the URI does not tell, or is none to go by."""
    if why_refused(connect_uri) is not None:
        return None
    parts = urlsplit(connect_uri)
    _, _, transport = parts.scheme.partition("+")
    port = parts.port or _PORTS.get(transport)
    return None if parts.hostname is None or port is None else (parts.hostname, port)


async def _answers(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(_DEADLINE):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
