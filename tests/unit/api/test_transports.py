"""By which addresses an encrypted migration leaves nothing to read."""

import pytest

from vmferry_api.transports import why_readable


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
        ("qemu+tls://b/system", "rdma://b:49152", "nothing that goes by RDMA"),
        (None, "rdma://b:49152", "nothing that goes by RDMA"),
    ],
)
def test_other_addresses_are_told_with_the_way_out(connect_uri, migration_uri, reason):
    told = why_readable(connect_uri=connect_uri, migration_uri=migration_uri)
    assert reason in told
    assert "give the target's agent a --" in told
