"""By which addresses a source may go to a target, and by which of them it leaves nothing to read."""

import pytest

from vmferry_api.transports import leads_to_socket, why_readable, why_refused, why_stream_refused


@pytest.mark.parametrize(
    "connect_uri",
    [
        "qemu+tls://b/system",
        "qemu+tls://b/system?no_verify=0",
        "qemu://b/system",
        "qemu+ssh://b/system",
        "qemu+libssh2://b/system",
        "qemu+unix:///session?socket=/run/x",
        None,
    ],
)
@pytest.mark.parametrize("migration_uri", [None, "tcp://b", "unix:///run/x"])
def test_tls_ssh_and_a_socket_of_the_same_machine_leave_nothing_to_read(connect_uri, migration_uri):
    assert why_readable(connect_uri=connect_uri, migration_uri=migration_uri) is None


@pytest.mark.parametrize(
    ("connect_uri", "migration_uri", "reason"),
    [
        ("qemu+tcp://b/system", None, "which is not encrypted"),
        ("qemu+ext://b/system", None, "which is not encrypted"),
        ("qemu+tls://b/system?no_verify=1", None, "anybody could pose as the target"),
        ("qemu+tls://b/system?No_Verify=1", None, "anybody could pose as the target"),
        ("qemu+tls://b/system?a=1;no_verify=1", None, "anybody could pose as the target"),
        ("qemu+tls://b/system?no%5fverify=1", None, "anybody could pose as the target"),
        ("qemu+tls://b/system?no_verify=0&NO_VERIFY=1", None, "anybody could pose as the target"),
        ("qemu+libssh://b/system?known_hosts_verify=ignore", None, "anybody could pose as the target"),
        ("qemu+tls://b/system?tls_priority=NORMAL:%2BNULL", None, "may be without encryption"),
        ("QEMU+TCP://b/system", None, "which is not encrypted"),
        ("qemu+tls://b/system", "RDMA://b:49152", "nothing that goes by RDMA"),
        ("qemu+tls://b/system", "rdma://b:49152", "nothing that goes by RDMA"),
        (None, "rdma://b:49152", "nothing that goes by RDMA"),
    ],
)
def test_other_addresses_are_told_with_the_way_out(connect_uri, migration_uri, reason):
    told = why_readable(connect_uri=connect_uri, migration_uri=migration_uri)
    assert reason in told
    assert "give the target's agent a --" in told


ADDRESSES = [
    "qemu+tls://b/system",
    "qemu+tls://10.0.0.7/system?no_verify=1",
    "qemu+tls://[fd00::7]:16514/system?tls_priority=NORMAL:-VERS-TLS1.0&no_verify=0",
    "qemu+tls://[::ffff:10.0.0.7]:65535/system",
    "qemu+tcp://10.0.0.7:16509/system",
    "qemu+tcp://node-b.example./session",
    "qemu+ssh://root@b.example/system?keyfile=vmferry&no_tty=1",
    "qemu+ssh://b:2222/system?keyfile=/etc/vmferry/id_ed25519&no_verify=1&mode=direct&proxy=netcat",
    "qemu+libssh://b/system?sshauth=agent,privkey&known_hosts_verify=normal",
    "qemu+libssh2://b/session",
    "qemu://b/system",
]
SOCKET = "qemu+unix:///session?socket=/lab/hosts/node-b/run/libvirt-sock"


@pytest.mark.parametrize("connect_uri", ADDRESSES)
def test_a_daemon_s_address_is_taken(connect_uri):
    assert why_refused(connect_uri) is None


def test_a_socket_is_taken_where_the_hosts_are_one_machine_and_is_the_source_s_own_elsewhere():
    assert leads_to_socket(SOCKET)
    assert not any(leads_to_socket(each) for each in ADDRESSES)
    assert why_refused(SOCKET, same_machine=True) is None
    assert why_refused(SOCKET).startswith(
        f"{SOCKET} is a socket of the source's own host; give the target's agent"
    )


OTHERS = {
    "a program in place of a connection": [
        "qemu+ext:///system?command=/tmp/x",
        "QEMU+EXT:///system?command=/tmp/x",
        "qemu+ext:///system",
        "qemu+ext://b/system",
        "qemu+e\nxt:///system?command=/tmp/x",
        "qemu+ssh://b/system?command",
        "qemu+ssh://b/system?%63ommand=/tmp/x",
    ],
    "another driver, or none": [
        "",
        "b",
        "test:///default",
        "qemu:///embed?root=/tmp/x",
        "remote+tls://b/system",
        "qemu+tls://b/",
        "qemu+tls://b/system/../embed",
    ],
    "the source itself": [
        "qemu:///system",
        "qemu+tls:///system",
        "qemu+tcp:///system",
        "qemu+ssh:///system",
        "qemu+unix:///system",
        "qemu+unix:///system?mode=direct",
        "qemu+unix://b/system?socket=/run/x",
        "qemu+unix:///system?socket=run/x",
    ],
    "no port, no host": [
        "qemu+tls://b:99999/system",
        "qemu+tls://b:65536/system",
        "qemu+tls://b:0/system",
        "qemu+tls://b:-1/system",
        "qemu+tls://b:/system",
        "qemu+tls://b:²/system",
        "qemu+tls://[zz]/system",
        "qemu+tls://[b/system",
        "qemu+tls://[b]/system",
        "qemu+tls://[::1::]/system",
        "qemu+tls://[fd00::7%25eth0]/system",
        "qemu+tls://b..c/system",
        "qemu+tls://.b/system",
        "qemu+tls://b../system",
        f"qemu+tls://{'b' * 64}/system",
        "qemu+tls://b c/system",
        "qemu+tls://b%00c/system",
        "qemu+tls://ｂ/system",
        "qemu+tls://b,c/system",
    ],
    "an option to ssh, or words for a shell": [
        "qemu+ssh://-oProxyCommand=x/system",
        "qemu+ssh://-oProxyCommand=x@b/system",
        "qemu+ssh://`x`@b/system",
        "qemu+ssh://$(x)/system",
        "qemu+ssh://root:word@b/system",
        "qemu+ssh://@b/system",
        "qemu+ssh://a@b@c/system",
        "qemu+libssh://b/system?keyfile=pkcs11:x?module-path=/tmp/x.so",
        "qemu+ssh://b/system?keyfile=~/x",
    ],
    "more than one reading": [
        "qemu+tls://b/system\n",
        "qemu+tls://b/system\t",
        " qemu+tls://b/system",
        "qemu+tls://b/system#?command=/tmp/x",
        "qemu+tls://b/system#x",
        "qemu+tls://b/system?no_verify=0#x",
        "qemu+tls://b/system?no_verify=0;name=x",
        "qemu+tls://b/system;no_verify=0",
        "qemu+tls://b/system&no_verify=0",
        "qemu+tls://b/system?",
        "qemu+tls://b/system?&no_verify=0",
        "qemu+tls://b/system?no_verify=0&",
        "qemu+tls://b/system?no_verify=0&&no_verify=0",
        "qemu+tls://b/system?no_verify=0?no_verify=0",
        "qemu+tls://b/system?no_verify",
        "qemu+tls://b/system?no_verify=",
        "qemu+tls://b/system?no_verify=%30",
        "qemu+tls://b/system?tls_priority=NORMAL:%2BNULL",
        "qemu+ssh://b/system?mode=x",
        "qemu+ſſh://b/system",
    ],
}


@pytest.mark.parametrize("same_machine", [False, True])
@pytest.mark.parametrize("connect_uri", [each for several in OTHERS.values() for each in several], ids=ascii)
def test_what_would_have_the_source_s_daemon_do_something_else_is_refused(connect_uri, same_machine):
    told = why_refused(connect_uri, same_machine=same_machine)
    assert connect_uri in told
    assert "give the target's agent a --connect-uri" in told


@pytest.mark.parametrize(
    ("address", "query", "name"),
    [
        ("qemu+ssh://b/system", "command=/tmp/x", "command"),
        ("qemu+ssh://b/system", "Command=/tmp/x", "Command"),
        ("qemu+ssh://b/system", "no_tty=1&command=/tmp/x", "command"),
        ("qemu+ssh://b/system", "no%5ftty=1", "no%5ftty"),
        ("qemu+ssh://b/system", "a=1;command=/tmp/x", "a"),
        ("qemu+ssh://b/system", "netcat=/sbin/reboot", "netcat"),
        ("qemu+ssh://b/system", "socket=/run/x", "socket"),
        ("qemu+libssh://restrict/system", "known_hosts=/etc/x&known_hosts_verify=auto", "known_hosts"),
        ("qemu+libssh2://b/system", "known_hosts=/etc/nologin", "known_hosts"),
        ("qemu+tls://b/system", "name=qemu+ssh://x/system%3Fcommand=/tmp/x", "name"),
        ("qemu+tls://b/system", "name=test:///default", "name"),
        ("qemu+tls://b/system", "NAME=test:///default", "NAME"),
        ("qemu+tls://b/system", "pkipath=/shared", "pkipath"),
        ("qemu+tls://b/system", "no_sanity=1", "no_sanity"),
        ("qemu+tls://b/system", "auth=none", "auth"),
        ("qemu+tls://b/system", "authfile=/etc/x", "authfile"),
        ("qemu+tls://b/system", "keyfile=/etc/x", "keyfile"),
        ("qemu://b/system", "socket=/run/x", "socket"),
        ("qemu+tcp://b/system", "no_verify=0", "no_verify"),
        ("qemu+tcp://b/system", "name=qemu+ssh://x/system", "name"),
        ("qemu+unix:///system", "socket=/run/x&name=qemu+ssh://x/system%3Fcommand=/x.sh", "name"),
        ("qemu+unix:///system", "name=x&socket=/run/x", "name"),
        ("qemu+unix:///system", "socket=/run/x&mode=direct", "mode"),
    ],
)
def test_a_parameter_that_says_more_than_how_to_connect_is_named(address, query, name):
    told = why_refused(f"{address}?{query}", same_machine=True)
    assert told.startswith(f"{address}?{query} has the parameter {name}, and may have ")


@pytest.mark.parametrize(
    "migration_uri",
    [None, "tcp://10.0.0.7", "tcp://node-b:49152", "tcp://[fd00::7]:49152", "tcp://b/", "rdma://b:49152"],
)
@pytest.mark.parametrize("tls_destination", [None, "node-b.example", "10.0.0.7", "fd00::7"])
def test_memory_goes_to_a_host_and_to_who_holds_a_name(migration_uri, tls_destination):
    assert why_stream_refused(migration_uri=migration_uri, tls_destination=tls_destination) is None


@pytest.mark.parametrize(
    "migration_uri",
    [
        "",
        "b",
        "tcp:b:1",
        "tcp://",
        "tcp://b:99999",
        "tcp://[zz]",
        "tcp://b/x",
        "tcp://b?x",
        "tcp://b\n",
        "tcp://-x",
        "tcp://a@b",
        "TCP://b",
        "exec:/tmp/x",
        "exec://x:1",
        "fd:3",
        "file:/etc/x",
        "unix:/run/x",
        "unix:///run/x",
        "vsock:1:2",
    ],
)
def test_memory_goes_nowhere_else(migration_uri):
    told = why_stream_refused(migration_uri=migration_uri, tls_destination=None)
    assert told == (
        f"{migration_uri} is no address that a QEMU listens at; give the target's agent a --migration-uri of tcp://HOST"
    )


@pytest.mark.parametrize("name", ["", " ", "b c", "b\n", "*", "b,c"])
def test_a_certificate_of_any_name_is_not_asked_for(name):
    told = why_stream_refused(migration_uri=None, tls_destination=name)
    assert told.startswith(f"{name!r} is no name that a certificate holds; give the target's agent another")


@pytest.mark.parametrize(
    ("connect_uri", "told"),
    [
        (
            "qemu+tls://b/system?pkipath=/x",
            "has the parameter pkipath, and may have no_verify, tls_priority;",
        ),
        ("qemu+tcp://b/system?no_verify=1", "has the parameter no_verify, and may have none;"),
        ("QEMU+TLS://b/system", "must have its scheme in lower case, qemu+tls;"),
        ("qemu+tls://[fe80::1%25eth0]/system", "has a zone, or something escaped (%):"),
        ("test:///default", "is no address of a QEMU host's daemon;"),
    ],
)
def test_what_is_wrong_with_an_address_is_told(connect_uri, told):
    assert why_refused(connect_uri).startswith(f"{connect_uri} {told}")
