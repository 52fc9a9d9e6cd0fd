"""Ends dead streams of incoming migrations, so that their QEMUs notice.

A QEMU that waits for pages over a link that was cut sends nothing, and so never learns that its stream is dead;
until it does, nothing can take the post-copy up again. The kernel ends the connection when it is told to
(SOCK_DESTROY, by `ss -K`), for which the agent must be in the host's network namespace and have CAP_NET_ADMIN.
"""

import asyncio
import logging
import shutil
from datetime import timedelta
from typing import Protocol

from typing_extensions import override

from vmferry_agent.capabilities import NET_ADMIN, has_capability
from vmferry_agent.decisions.streams import Stream, dead, read_streams

_logger = logging.getLogger(__name__)

_DEADLINE = 5.0


class IncomingStreams(Protocol):
    """The streams by which VMs come to this host."""

    async def end_dead(self, ports: range, at_least: timedelta) -> int:
        """End those of hosts from which nothing has come for so long; how many there were.

        Args:
            ports: Where this host's QEMUs listen.
            at_least: How long.
        """


class KernelStreams(IncomingStreams):
    """By the kernel; does nothing where the agent may not."""

    def __init__(self) -> None:
        self._ss = shutil.which("ss", path="/usr/sbin:/sbin:/usr/bin:/bin")

    @property
    def possible(self) -> bool:
        """Whether the agent has what it takes."""
        return self._ss is not None and has_capability(NET_ADMIN, "CapEff")

    @override
    async def end_dead(self, ports: range, at_least: timedelta) -> int:
        if not self.possible:
            return 0
        here = f"( sport >= :{ports.start} and sport <= :{ports.stop - 1} )"
        found = dead(read_streams(await self._run("-Hnti", "state", "established", here)), ports, at_least)
        for stream in found:
            await self._end(stream)
        return len(found)

    async def _end(self, stream: Stream) -> None:
        ends = f"( sport = :{stream.port} and dst {stream.peer} and dport = :{stream.peer_port} )"
        await self._run("-HntK", "state", "established", ends)
        silent = stream.silent_for.total_seconds()
        _logger.warning(
            "the stream from %s:%d, silent for %.0f s, is ended, so that it can be taken up anew",
            stream.peer,
            stream.peer_port,
            silent,
        )

    async def _run(self, *words: str) -> str:
        """What ss says; nothing where it fails: this is a help, and nothing rests on it."""
        try:
            process = await asyncio.create_subprocess_exec(
                str(self._ss), *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
            )
        except OSError as error:
            _logger.warning("ss %s: %s", " ".join(words), error)
            return ""
        try:
            async with asyncio.timeout(_DEADLINE):
                output, errors = await process.communicate()
        except TimeoutError:
            _logger.warning("ss %s: no answer within %.0f s", " ".join(words), _DEADLINE)
            process.kill()
            await process.wait()
            return ""
        if errors:
            _logger.warning("ss %s: %s", " ".join(words), errors.decode(errors="replace").strip())
        return output.decode(errors="replace")
