"""By which addresses an encrypted migration leaves nothing to read."""

import pytest

from vmferry_api.transports import why_readable, why_refused


@pytest.mark.parametrize(
    "connect_uri",
    [
        "qemu+tls://b/system",
        "qemu+tls://b/system?pkipath=/etc/pki/x",
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


@pytest.mark.parametrize(
    "connect_uri",
    [
        "qemu+tls://b/system",
        "qemu+tcp://10.0.0.7:16509/system",
        "qemu+tls://[fd00::7]:16514/system?pkipath=/etc/pki/x",
        "qemu+ssh://root@b.example/system?keyfile=vmferry&no_tty=1",
        "qemu+libssh2://b/session",
        "qemu://b/system",
        "qemu+unix:///session?socket=/run/x",
    ],
)
def test_a_daemon_s_address_is_taken(connect_uri):
    assert why_refused(connect_uri) is None


@pytest.mark.parametrize(
    "connect_uri",
    [
        "qemu+ext:///system?command=/tmp/x",
        "QEMU+EXT:///system?command=/tmp/x",
        "qemu+ext:///system",
        "qemu+ssh://b/system?command=/tmp/x",
        "qemu+ssh://b/system?Command=/tmp/x",
        "qemu+ssh://b/system?a=1;command=/tmp/x",
        "qemu+ssh://b/system?%63ommand=/tmp/x",
        "qemu+ssh://b/system?netcat=nc&command=/tmp/x",
        "qemu+ssh://b/system?command",
        "test:///default",
        "qemu:///embed?root=/tmp/x",
        "qemu+tls://b/system\n",
        "qemu+e\nxt:///system?command=/tmp/x",
        "qemu+tls://b/system#?command=/tmp/x",
        "qemu+tls://[b/system",
        "qemu+tls://[b]/system",
        "qemu+tls://b:99999/system",
        "b",
        "",
    ],
)
def test_what_would_have_the_source_s_daemon_do_something_else_is_refused(connect_uri):
    told = why_refused(connect_uri)
    assert connect_uri in told
    assert "give the target's agent a --connect-uri" in told
