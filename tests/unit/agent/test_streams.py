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


def stream(peer: str, silent_for: float, port: int = 49152) -> Stream:
    return Stream(port=port, peer=peer, peer_port=40000, silent_for=timedelta(seconds=silent_for))


def test_the_streams_of_either_family_are_read_and_what_tells_no_time_is_left_out() -> None:
    assert read_streams(TOLD) == [
        Stream(port=49152, peer="10.77.0.11", peer_port=45490, silent_for=timedelta(seconds=7.341)),
        Stream(port=49153, peer="[fd00::1]", peer_port=45491, silent_for=timedelta(seconds=0.031)),
    ]


@pytest.mark.parametrize("told", ["", "\n", "nonsense\n\tlastrcv:9000\n", "0 0 a:b c:d\n"])
def test_what_is_no_stream_is_none(told: str) -> None:
    assert read_streams(told) == []


def test_a_host_is_cut_off_only_where_none_of_its_streams_carries_anything() -> None:
    silent, alive = stream("a", 9), stream("b", 0.1)
    assert dead([silent, alive], FIVE) == [silent]
    assert dead([stream("a", 9), stream("a", 0.1, 49153)], FIVE) == []
    assert dead([stream("a", 4.9)], FIVE) == []
    both = [stream("a", 9), stream("a", 8, 49153)]
    assert dead(both, FIVE) == both


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
