"""The control plane's certificates hold before a strict verifier, not only before Go's."""

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from vmferry_lab.controlplane.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"))


def load(pair):
    return x509.load_pem_x509_certificate(pair.certificate.read_bytes())


@pytest.fixture(scope="module")
def policy(authority):
    return PolicyBuilder().store(Store([load(authority.files)])).time(datetime.now(UTC))


@pytest.mark.parametrize("name", ["localhost", "kubernetes.default.svc"])
def test_a_server_is_known_by_its_names(authority, policy, name):
    server = load(authority.for_server("server", ["127.0.0.1", "localhost", "kubernetes.default.svc"]))
    policy.build_server_verifier(x509.DNSName(name)).verify(server, [])


def test_a_server_is_not_known_by_another_name(authority, policy):
    server = load(authority.for_server("server", ["localhost"]))
    with pytest.raises(VerificationError):
        policy.build_server_verifier(x509.DNSName("example.org")).verify(server, [])


def test_another_authority_s_certificate_is_refused(policy, tmp_path):
    server = load(Authority(tmp_path).for_server("server", ["localhost"]))
    with pytest.raises(VerificationError):
        policy.build_server_verifier(x509.DNSName("localhost")).verify(server, [])


def test_a_user_s_certificate_serves_no_server(authority, policy):
    user = load(authority.for_user("user", "somebody", ["some", "groups"]))
    assert user.subject.rfc4514_string() == "CN=somebody,O=groups,O=some"
    with pytest.raises(VerificationError):
        policy.build_server_verifier(x509.DNSName("localhost")).verify(user, [])


def test_keys_belong_to_their_certificates_and_are_nobody_else_s_to_read(authority):
    pair = authority.for_user("user", "somebody", [])
    assert pair.key.stat().st_mode & 0o777 == 0o600
    key = serialization.load_pem_private_key(pair.key.read_bytes(), password=None)
    assert key.public_key() == load(pair).public_key()


def test_a_host_is_server_and_client_of_others_and_may_encipher_keys(authority, policy):
    host = load(authority.for_host("node-a", ["198.18.0.11"]))
    policy.build_server_verifier(x509.DNSName("node-a")).verify(host, [])
    policy.build_client_verifier().verify(host, [])
    assert host.extensions.get_extension_for_class(x509.KeyUsage).value.key_encipherment
