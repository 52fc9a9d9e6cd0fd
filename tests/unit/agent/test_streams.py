"""Dead streams are told from live ones by what the kernel says of them."""

from datetime import timedelta

import pytest

from vmferry_agent.decisions.streams import Stream, dead, read_streams
from vmferry_agent.hypervisor.libvirt_daemons import Daemon, migration_ports

TOLD = """\
100000 0      10.77.0.12:49152 10.77.0.11:45490
\t bbr wscale:10,10 rto:208 rtt:0.03/0.015 ato:80 bytes_received:100000 lastsnd:12 lastrcv:7341 minrtt:0.03
0      0      [fd00::2]:49153 [fd00::1]:45491
\t cubic wscale:7,7 rto:204 bytes_received:9 lastsnd:4 lastrcv:31 lastack:8
0      0      10.77.0.12:49154 10.77.0.13:1
\t cubic wscale:7,7 rto:204
"""
FIVE = timedelta(seconds=5)


PORTS = range(49152, 49216)


def stream(
    peer: str, silent_for: float, port: int = 49152, peer_port: int = 40000, received: int = 2**27
) -> Stream:
    return Stream(
        port=port,
        peer=peer,
        peer_port=peer_port,
        received=received,
        silent_for=timedelta(seconds=silent_for),
    )


def test_the_streams_of_either_family_are_read_and_what_tells_no_time_is_left_out() -> None:
    assert read_streams(TOLD) == [
        stream("10.77.0.11", 7.341, 49152, 45490, 100000),
        stream("[fd00::1]", 0.031, 49153, 45491, 9),
    ]


@pytest.mark.parametrize("told", ["", "\n", "nonsense\n\tlastrcv:9000\n", "0 0 a:b c:d\n"])
def test_what_is_no_stream_is_none(told: str) -> None:
    assert read_streams(told) == []


def test_a_host_is_cut_off_only_where_none_of_its_streams_carries_anything() -> None:
    silent, alive = stream("a", 9), stream("b", 0.1)
    assert dead([silent, alive], PORTS, FIVE) == [silent]
    assert dead([stream("a", 9), stream("a", 0.1, 49153)], PORTS, FIVE) == []
    assert dead([stream("a", 4.9)], PORTS, FIVE) == []
    both = [stream("a", 9), stream("a", 8, 49153)]
    assert dead(both, PORTS, FIVE) == both


def test_a_host_that_hears_nothing_from_several_others_is_cut_off_itself_and_ends_nothing() -> None:
    assert dead([stream("a", 9), stream("b", 9)], PORTS, FIVE) == []


@pytest.mark.parametrize(
    "other",
    [
        stream("a", 9, 49190, peer_port=3260),
        stream("a", 9, 49190, peer_port=16509),
        stream("a", 9, 49190, peer_port=49152),
        stream("a", 9, received=2**16),
    ],
    ids=["a service", "a daemon", "another host's QEMU", "not a stream of memory"],
)
def test_connections_that_this_host_has_begun_or_that_carry_no_memory_are_never_ended(other: Stream) -> None:
    assert dead([other], PORTS, FIVE) == []


@pytest.mark.parametrize(
    ("settings", "ports"),
    [
        ({}, range(49152, 49216)),
        ({"migration_port_min": "50000", "migration_port_max": "50019"}, range(50000, 50020)),
        (None, range(49152, 49216)),
    ],
)
def test_streams_come_in_where_qemu_conf_says(settings: dict[str, str] | None, ports: range) -> None:
    assert migration_ports(Daemon(system=True, qemu=None, settings=settings)) == ports


def test_of_a_daemon_that_is_not_known_the_ports_are_libvirt_s_own() -> None:
    assert migration_ports(None) == range(49152, 49216)
