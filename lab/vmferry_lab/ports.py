"""Free ports of this machine, on loopback unless said otherwise."""

import contextlib
import random
import socket


def free_ports(count: int, address: str = "127.0.0.1") -> list[int]:
    """Ports that nobody listens on just now at an address, each another one."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((address, 0))
        return [each.getsockname()[1] for each in sockets]


def free_block(size: int) -> range:
    """Consecutive ports that nobody listens on just now, outside of the range for outgoing connections.

    The place is drawn at random, so that labs that start at the same time take different ones.

    Raises:
        OSError: None is free.
    """
    starts = list(range(20_000, 32_000, size))
    random.shuffle(starts)
    for start in starts:
        block = range(start, start + size)
        if all(_is_free(port) for port in block):
            return block
    raise OSError(f"no {size} consecutive free ports between 20000 and 32000")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
