"""When certificates end, and what is said of it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from vmferry_agent.decisions.certificates import ending, latest_end, not_after
from vmferry_agent.decisions.preflight import Level
from vmferry_agent.hypervisor.features import Files
from vmferry_agent.hypervisor.host_certificates import certificates_end
from vmferry_agent.hypervisor.libvirt_daemons import Daemon

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def certificate(end):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x" * 60)])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(2**150).not_valid_before(end - timedelta(days=9)).not_valid_after(end)
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


@pytest.mark.parametrize("year", [2026, 2049, 2050, 2099])
def test_the_end_of_a_certificate_is_read(year):
    end = datetime(year, 12, 30, 1, 2, 3, tzinfo=UTC)
    assert not_after(f"something before\n{certificate(end)}") == end


@pytest.mark.parametrize(
    "given",
    ["", b"", b"\x30\x00", b"\x30\x82\x01", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----"],
)
def test_what_is_no_certificate_is_refused(given):
    with pytest.raises(ValueError, match="certificate"):
        not_after(given)


def test_of_several_authorities_the_last_one_counts():
    assert latest_end(certificate(NOW) + certificate(NOW + 9 * DAY) + certificate(NOW + DAY)) == NOW + 9 * DAY


def test_an_authority_that_is_none_is_refused():
    with pytest.raises(ValueError, match="certificate"):
        latest_end("")


def test_what_ends_soon_or_has_ended_is_told_with_its_file():
    ends = {"b.pem": NOW + 3 * DAY, "a.pem": NOW - DAY, "c.pem": NOW + 15 * DAY}
    told = ending(ends, NOW)
    assert [each.level for each in told] == [Level.WARNING] * 2
    assert [each.what for each in told] == [
        "a.pem has ended (2025-12-31)",
        "b.pem ends in 3 days (2026-01-04)",
    ]
    assert "virt-admin server-update-tls" in str(told[0])


def test_where_all_hold_the_first_end_is_told_and_where_there_are_none_nothing():
    assert [each.what for each in ending({"a": NOW + 90 * DAY, "b": NOW + 30 * DAY}, NOW)] == [
        "certificates hold until 2026-01-31"
    ]
    assert ending({}, NOW) == []


def write(file: Path, text: str) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return str(file)


def test_the_files_of_libvirt_and_of_qemu_are_read_where_they_are(tmp_path):
    files = Files(
        authorities=tmp_path / "CA" / "cacert.pem",
        libvirt_certificates=tmp_path / "libvirt",
        migration_certificates=tmp_path / "none",
        certificates=tmp_path / "qemu",
    )
    bundle = certificate(NOW) + certificate(NOW + 9 * DAY)
    expected = {
        write(files.authorities, bundle): NOW + 9 * DAY,
        write(files.libvirt_certificates / "servercert.pem", certificate(NOW + DAY)): NOW + DAY,
        write(files.certificates / "client-cert.pem", certificate(NOW + 2 * DAY)): NOW + 2 * DAY,
    }
    write(files.libvirt_certificates / "clientcert.pem", "nothing")
    write(files.certificates / "server-key.pem", "a key")
    assert certificates_end(Daemon(system=True, qemu=None), files) == expected


def test_of_a_daemon_of_which_nothing_is_known_and_of_a_user_s_nothing_is_read():
    assert certificates_end(None) == {}
    assert certificates_end(Daemon(system=False, qemu=None)) == {}
