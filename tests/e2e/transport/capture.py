"""Write all that passes an interface to a file until stdin ends: capture.py INTERFACE FILE."""

import select
import socket
import struct
import sys
from pathlib import Path

_EVERY_PROTOCOL = 3
_PACKET, _STATISTICS = 263, 6
_BUFFER_FORCE = 33
_LONGEST = 2**17

with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERY_PROTOCOL)) as wire:
    wire.setsockopt(socket.SOL_SOCKET, _BUFFER_FORCE, 2**28)
    wire.bind((sys.argv[1], _EVERY_PROTOCOL))
    with Path(sys.argv[2]).open("wb") as file:
        sys.stdout.write("captures\n")
        sys.stdout.flush()
        while True:
            ready, _, _ = select.select([wire, sys.stdin], [], [])
            if wire in ready:
                file.write(wire.recv(_LONGEST))
            elif sys.stdin in ready:
                break
    _, lost = struct.unpack("II", wire.getsockopt(_PACKET, _STATISTICS, 8))
    sys.stdout.write(str(lost))
