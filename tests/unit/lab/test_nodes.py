"""What of the lab's nodes is decided before the kernel is asked: addresses, names, configurations, commands."""

import json
import subprocess
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from vmferry_agent.hypervisor.features import Files, has_certificates, may_use_userfaultfd
from vmferry_agent.hypervisor.libvirt_daemons import Daemon, Owner, read_settings
from vmferry_lab.controlplane.certificates import Authority
from vmferry_lab.errors import LabError
from vmferry_lab.hosts import commands, faults, kinds, networks, node, node_files, privileges
from vmferry_lab.hosts.faults import Traffic, socket_filter
from vmferry_lab.hosts.kinds import HostsKind
from vmferry_lab.hosts.networks import Network, free_subnet
from vmferry_lab.hosts.node import NodeHost
from vmferry_lab.hosts.session import SessionHost
from vmferry_lab.lab import Lab

LAB = Path("/tmp/some-lab")
NAMES = tuple(f"node-{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")
NETWORK = Network(lab=LAB, subnet=IPv4Network("198.18.4.0/23"), nodes=NAMES)


def test_the_first_subnet_is_taken_where_nothing_has_an_address_of_it():
    assert free_subnet([IPv4Address("192.0.2.2")]) == IPv4Network("198.18.0.0/23")


def test_a_subnet_of_which_this_machine_has_an_address_is_left_alone():
    taken = [IPv4Address("198.18.1.1"), IPv4Address("198.18.2.77")]
    assert free_subnet(taken) == IPv4Network("198.18.4.0/23")


def test_when_each_subnet_is_taken_it_is_told():
    taken = [subnet[1] for subnet in networks.BENCHMARKS.subnets(new_prefix=23)]
    with pytest.raises(LabError, match=r"an address in each /23 of 198\.18\.0\.0/15; take some labs down"):
        free_subnet(taken)


def test_all_addresses_of_a_lab_differ_and_are_of_its_two_networks():
    data = [NETWORK.data_address(name) for name in NAMES]
    control = [NETWORK.control_address(name) for name in NAMES]
    assert all(address in IPv4Network("198.18.4.0/24") for address in data)
    assert all(address in IPv4Network("198.18.5.0/24") for address in (*control, NETWORK.machine_address))
    assert len({*data, *control, NETWORK.machine_address}) == 2 * len(NAMES) + 1


def test_names_of_interfaces_are_as_short_as_linux_wants_them_and_another_lab_has_others():
    other = Network(lab=Path("/tmp/other"), subnet=NETWORK.subnet, nodes=NAMES)
    names = {NETWORK.control_bridge, *(NETWORK.control_end(name) for name in NAMES)}
    others = {other.control_bridge, *(other.control_end(name) for name in NAMES)}
    assert len(names) == len(NAMES) + 1
    assert names.isdisjoint(others)
    assert max(map(len, names)) <= 15


def test_a_host_s_mac_address_follows_from_its_ip_address_and_is_nobody_else_s():
    assert networks._mac(IPv4Address("198.18.4.11")) == "02:4d:c6:12:04:0b"


def test_qemu_of_a_node_may_do_post_copy_whatever_the_machine_says(tmp_path):
    denied = tmp_path / "unprivileged_userfaultfd"
    denied.write_text("0")
    daemon = Daemon(
        system=True,
        qemu=Owner(user=0, group=0),
        settings=read_settings(node_files.qemu_conf(address="198.18.4.11")),
    )
    files = Files(unprivileged_userfaultfd=denied, userfaultfd=tmp_path / "none")
    assert may_use_userfaultfd(daemon, 7_002_000, files)


def test_a_node_says_so_where_root_has_the_capability(monkeypatch):
    monkeypatch.setattr(privileges, "can_grant_ptrace", lambda: True)
    assert NodeHost("node-a", NETWORK).post_copy.possible


@pytest.fixture
def prepared(tmp_path):
    """The directory of a node that has been prepared."""
    node._prepare(tmp_path / "node-a", NETWORK, "node-a", Authority(tmp_path / "authority"))
    return tmp_path / "node-a"


def test_a_node_has_the_certificates_that_the_agent_looks_for(prepared):
    qemu = prepared / "pki" / Path(Files().certificates).relative_to(node_files.CERTIFICATES)
    settings = read_settings((prepared / "etc" / "qemu.conf").read_text())
    files = Files(migration_certificates=prepared / "none", certificates=qemu)
    assert has_certificates(Daemon(system=True, qemu=None, settings=settings), files)


def test_a_node_is_server_and_client_of_others_with_one_certificate(prepared):
    server, client = (prepared / "pki" / "libvirt" / f"{role}cert.pem" for role in ("server", "client"))
    assert server.read_bytes() == client.read_bytes()
    assert not {"ca_file", "cert_file", "key_file"} & set(
        read_settings((prepared / "etc" / "libvirtd.conf").read_text())
    )


def test_the_storage_pool_starts_with_the_daemon(prepared):
    (link,) = (prepared / "etc" / "storage" / "autostart").iterdir()
    assert link.readlink() == Path("/etc/libvirt/storage/local.xml")
    assert (prepared / "etc" / "storage" / "local.xml").read_text() == node_files.pool_xml()


def test_a_node_knows_all_names_without_a_name_server(prepared):
    lines = (prepared / "hosts").read_text().splitlines()
    assert lines[:3] == ["127.0.0.1 localhost", "198.18.4.11 node-a", "198.18.4.12 node-b"]
    assert len(lines) == 1 + len(NAMES)


@pytest.mark.parametrize("configuration", ["libvirtd.conf", "qemu.conf"])
def test_a_silent_peer_is_given_up_soon(prepared, configuration):
    settings = read_settings((prepared / "etc" / configuration).read_text())
    assert (settings["keepalive_interval"], settings["keepalive_count"]) == ("1", "3")


def test_two_nodes_are_not_taken_for_one_host(tmp_path):
    authority = Authority(tmp_path / "authority")
    identities = set()
    for name in ("node-a", "node-b"):
        node._prepare(tmp_path / name, NETWORK, name, authority)
        settings = read_settings((tmp_path / name / "etc" / "libvirtd.conf").read_text())
        identities.add(settings["host_uuid"])
    assert len(identities) == 2


def test_the_ports_of_the_first_process_are_those_of_qemu_s_configuration():
    reserved = f"{node_files.STREAM_PORTS.start}-{node_files.STREAM_PORTS.stop - 1}"
    assert f"echo {reserved} >/proc/sys/net/ipv4/ip_local_reserved_ports" in node._FIRST_PROCESS.read_text()


@pytest.mark.parametrize(
    ("traffic", "want"),
    [
        (
            Traffic.STREAM,
            "( sport >= :49152 and sport <= :49215 ) or ( dport >= :49152 and dport <= :49215 )",
        ),
        (
            Traffic.CONTROL,
            (
                "( sport >= :16509 and sport <= :16509 ) or ( dport >= :16509 and dport <= :16509 ) or "
                "( sport >= :16514 and sport <= :16514 ) or ( dport >= :16514 and dport <= :16514 )"
            ),
        ),
    ],
)
def test_only_the_sockets_of_one_part_of_the_traffic_are_chosen(traffic, want):
    assert socket_filter(traffic) == want


class PoweredNode(faults.Faults):
    """A node of which only its process is known."""

    name = "node-a"
    network = NETWORK
    daemons = ()

    class first_process:  # noqa: N801 - a stand-in for the property
        pid = 4711


@pytest.fixture
def told(monkeypatch):
    """The commands that would be run."""
    several = []
    monkeypatch.setattr(faults, "run", lambda command: several.append(" ".join(command)) or "")
    return several


def test_a_cut_is_silent_because_it_is_made_at_the_other_end_of_the_cable(told):
    PoweredNode().cut()
    assert told == [f"ip -n {NETWORK.switch} link set node-a down"]


def test_a_dropped_port_is_dropped_both_ways_whoever_listens(told):
    PoweredNode().drop(Traffic.STREAM)
    inside = "nsenter --target 4711 --mount --net iptables -w -A"
    assert told == [
        f"{inside} {chain} {side} eth0 -p tcp {end} 49152:49215 -j DROP"
        for chain, side in (("INPUT", "-i"), ("OUTPUT", "-o"))
        for end in ("--sport", "--dport")
    ]


def test_a_link_is_shaped_in_both_directions(told):
    PoweredNode().shape(55_000_000)
    bucket = "root tbf rate 440000000bit burst 256kb latency 50ms"
    assert told == [
        f"tc -n {NETWORK.switch} qdisc replace dev node-a {bucket}",
        f"nsenter --target 4711 --mount --net tc qdisc replace dev eth0 {bucket}",
    ]


def test_a_node_that_is_off_says_so():
    with pytest.raises(LabError, match=r"^node-a is powered off$"):
        _ = NodeHost("node-a", NETWORK).uri


def test_a_lab_s_record_gives_its_nodes_again(tmp_path):
    network = Network(lab=tmp_path, subnet=NETWORK.subnet, nodes=("node-a", "node-b"))
    several = [NodeHost(name, network, 55_000_000) for name in network.nodes]
    record = json.loads(json.dumps(kinds.record_of(several, HostsKind.NODE, 55_000_000)))
    assert kinds.recorded_hosts(tmp_path, record) == several


def test_a_lab_s_record_gives_its_session_hosts_again(tmp_path):
    several = [SessionHost(name, tmp_path) for name in ("node-a", "node-b")]
    record = json.loads(json.dumps(kinds.record_of(several, HostsKind.SESSION, None)))
    assert kinds.recorded_hosts(tmp_path, record) == several


def test_an_ordinary_user_gets_session_hosts_and_is_told_why(monkeypatch):
    monkeypatch.setattr(kinds, "is_root", lambda: False)
    assert kinds.default_kind() == kinds.Choice(kind=HostsKind.SESSION, why="hosts of kind node need root")


def test_root_whom_the_kernel_refuses_gets_session_hosts_and_is_told_why(monkeypatch):
    def refused(command, **_):
        raise LabError("unshare: Operation not permitted")

    monkeypatch.setattr(kinds, "is_root", lambda: True)
    monkeypatch.setattr(kinds, "run", refused)
    choice = kinds.default_kind()
    assert choice.kind is HostsKind.SESSION
    assert choice.why == "hosts of kind node can't be had here: unshare: Operation not permitted"


def test_where_nodes_can_be_had_they_are_the_default(monkeypatch):
    monkeypatch.setattr(kinds, "is_root", lambda: True)
    monkeypatch.setattr(kinds, "run", lambda command, **_: "")
    assert kinds.default_kind().kind is HostsKind.NODE


def test_a_lab_below_run_is_refused_since_each_node_has_its_own():
    with pytest.raises(LabError, match=r"/run/x is below /run, .* take another one \(--dir\)"):
        node.new_nodes(Path("/run/x"), ["node-a"])


def test_a_session_host_has_no_link_to_cut(tmp_path):
    record = kinds.record_of([SessionHost("node-a", tmp_path)], HostsKind.SESSION, None)
    (tmp_path / "lab.json").write_text(json.dumps(record))
    with pytest.raises(LabError, match="node-a has no link and no power of its own"):
        Lab(tmp_path).node("node-a")


def test_a_program_that_fails_is_quoted():
    with pytest.raises(LabError, match=r"^ls /no-such-place: .*No such file"):
        commands.run(["ls", "/no-such-place"])


def test_a_program_that_is_missing_is_named():
    with pytest.raises(LabError, match=r"^no-such-program is not installed; run lab/system-packages$"):
        commands.run(["no-such-program"])


def test_the_first_process_is_a_script_that_bash_understands():
    subprocess.run(["bash", "-n", node._FIRST_PROCESS], check=True, timeout=20)


def test_a_lab_that_ended_without_down_is_begun_anew(prepared, tmp_path):
    (prepared / "lib" / "images" / "old.disk").touch()
    node._prepare(prepared, NETWORK, "node-a", Authority(tmp_path / "authority"))
    assert list((prepared / "lib" / "images").iterdir()) == []
