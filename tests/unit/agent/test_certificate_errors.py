"""What is to be done about certificates, by what libvirt 9.0 with QEMU 7.2 says of them."""

import libvirt
import pytest

from vmferry_agent.hypervisor.certificate_errors import advice
from vmferry_agent.hypervisor.libvirt_errors import translated

ADD = "internal error: unable to execute QEMU command 'object-add': "
UNKNOWN = "failed validation against /etc/pki/qemu/ca-cert.pem: The certificate hasn't got a known issuer"


@pytest.mark.parametrize(
    ("said", "to_do"),
    [
        (
            ADD + "The server certificate /etc/pki/qemu/server-cert.pem has expired",
            "server-cert.pem on the target",
        ),
        (
            ADD + "The client certificate /etc/pki/qemu/client-cert.pem has expired",
            "client-cert.pem on the source",
        ),
        (
            ADD + f"Our own certificate /etc/pki/qemu/server-cert.pem {UNKNOWN}",
            "server-cert.pem on the target",
        ),
        (
            ADD + f"Our own certificate /etc/pki/qemu/client-cert.pem {UNKNOWN}",
            "client-cert.pem on the source",
        ),
        (
            ADD + "Unable to access credentials /etc/pki/qemu/server-key.pem: No such file or directory",
            "server-key.pem on the target",
        ),
        (
            ADD + "Unable to access credentials /etc/pki/qemu/ca-cert.pem: No such file or directory",
            "vmferry-agent check tells which",
        ),
        (
            "qemu unexpectedly closed the monitor: Cannot read from TLS channel: Input/output error",
            "names the host of its --migration-uri",
        ),
        (
            "operation failed: job 'migration out' failed: Cannot write to TLS channel: Input/output error",
            "the source a client-cert.pem",
        ),
        (
            "The client certificate /etc/pki/libvirt/clientcert.pem has expired",
            "clientcert.pem on the source",
        ),
        ("authentication failed: Failed to verify peer's certificate", "name the host of its --connect-uri"),
        ("Unable to read TLS confirmation: Input/output error", "it needs a clientcert.pem"),
        ("Cannot read CA certificate '/etc/pki/CA/cacert.pem': No such file or directory", "into /etc/pki"),
    ],
)
def test_what_is_said_of_certificates_is_told_with_the_host_and_the_cure(said, to_do):
    error = libvirt.libvirtError("")
    error.err = (1, 10, said, 2, None, None, None, -1, -1)
    told = str(translated(error))
    assert told.startswith(f"{said} (libvirt error 1); ")
    assert to_do in told.split("; ", 1)[1]


@pytest.mark.parametrize(
    "said",
    [
        "internal error: qemu unexpectedly closed the monitor: load of migration failed: Invalid argument",
        "Failed to open file '/etc/pki/other.pem': No such file or directory",
        "client socket is closed",
    ],
)
def test_other_errors_are_told_as_they_are(said):
    assert advice(said) is None
