"""Certificates that do not hold, and those that are replaced while migrations run."""

import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from asked_migration import reason
from certificates import Certificates, as_secret
from hopeless import HOPELESS, HOPELESS_GUEST
from wire import pages

from vmferry_api.conditions import ConditionType
from vmferry_api.migrations import AttemptOutcome, Phase
from vmferry_lab.components import agent_name
from vmferry_lab.controlplane.certificates import Authority
from vmferry_lab.guests.image import Pattern

PAGE = (Path(__file__).parents[3] / "docs" / "transport.md").read_text()
MIB = 2**20
MEMORY = 32 * MIB
PAST = timedelta(minutes=-1)
REQUIRED = {"maxDowntime": "1s", "start": {"encryption": "Required"}}


@pytest.fixture
def authority(tmp_path):
    """One that no host knows yet."""
    return Authority(tmp_path / "authority")


@pytest.fixture
def known(nodes, authority, tmp_path):
    """Both hosts' certificates, which are of this authority now."""
    both = {name: Certificates(node) for name, node in nodes.items()}
    for name, each in both.items():
        each.install(
            as_secret(each.issued(authority), tmp_path / f"secret-{name}"), authority.files.certificate
        )
    return both


def expired_stream(own, authority, tmp_path):
    own.of_qemu(own.issued(authority, lifetime=PAST))


def stream_for_another_host(own, authority, tmp_path):
    own.of_qemu(own.issued(authority, name="another.example"))


def stream_of_a_stranger(own, authority, tmp_path):
    own.of_qemu(own.issued(Authority(tmp_path / "stranger")))


def expired_client(own, authority, tmp_path):
    own.of_libvirt(own.issued(authority, lifetime=PAST))


def daemon_for_another_host(own, authority, tmp_path):
    own.of_libvirt(own.issued(authority, name="another.example"))
    own.reload()


def no_client(own, authority, tmp_path):
    (own.node.certificates / "libvirt" / "clientcert.pem").unlink()


@pytest.fixture(
    params=[
        ("node-b", expired_stream, "renew server-cert.pem on the target"),
        ("node-b", stream_for_another_host, "names the host of its --migration-uri"),
        ("node-b", stream_of_a_stranger, "renew server-cert.pem on the target"),
        ("node-b", daemon_for_another_host, "must name the host of its --connect-uri"),
        ("node-a", expired_stream, "renew client-cert.pem on the source"),
        ("node-a", stream_of_a_stranger, "renew client-cert.pem on the source"),
        ("node-a", expired_client, "renew clientcert.pem on the source"),
        ("node-a", no_client, "it needs a clientcert.pem"),
    ],
    ids=lambda case: f"{case[0]} {case[1].__name__}",
)
def told(request, known, authority, tmp_path):
    """What is told of a certificate that has been spoilt."""
    host, spoil, words = request.param
    spoil(known[host], authority, tmp_path)
    return words


def test_a_certificate_that_does_not_hold_lets_nothing_out_and_the_guest_runs_on(
    told, recognizable, wire, move, assert_runs_only_on
):
    guest = recognizable()
    with wire:
        done = move(guest, **REQUIRED).ends()
    (attempt,) = done.status.attempts
    assert (done.status.phase, attempt.outcome) == (Phase.FAILED, AttemptOutcome.FAILED)
    assert told in attempt.error
    assert wire.shows(*pages(MEMORY), guest.uuid.encode()) == 0
    assert_runs_only_on(guest, "node-a")


@pytest.mark.parametrize("host", ["node-a", "node-b"])
def test_a_host_without_certificates_is_told_before_the_start(
    host, known, recognizable, move, assert_runs_only_on
):
    guest = recognizable()
    shutil.rmtree(known[host].node.certificates / "qemu")
    migration = move(guest, **REQUIRED)
    seen = migration.wait(
        "to be refused", lambda each: reason(each, ConditionType.ACCEPTED) == "TLSNotPossible"
    )
    assert seen.status.attempts == []
    assert_runs_only_on(guest, "node-a")


@pytest.fixture
def renamed(lab, known, authority, monkeypatch):
    """node-b's QEMU has a certificate of another name, and its agent tells it."""
    known["node-b"].of_qemu(known["node-b"].issued(authority, name="another.example"))
    with monkeypatch.context() as patch:
        patch.setenv("VMFERRY_TLS_DESTINATION", "another.example")
        lab.components.restart(agent_name("node-b"))
    yield "another.example"
    lab.components.restart(agent_name("node-b"))


def test_a_certificate_of_another_name_is_taken_where_the_agent_tells_that_name(
    renamed, recognizable, move, assert_runs_only_on
):
    guest = recognizable()
    done = move(guest, **REQUIRED).ends()
    assert done.status.target.tls_destination == renamed
    assert done.status.phase == Phase.SUCCEEDED
    assert_runs_only_on(guest, "node-b")


@pytest.fixture
def as_in_a_pod(tmp_path):
    """The programs of the agent's image that the installer takes; libvirt's are not among them."""
    directory = tmp_path / "programs"
    directory.mkdir()
    for name in ("cmp", "mkdir", "cp", "chgrp", "chmod", "dirname", "rm", "find", "mv"):
        (directory / name).symlink_to(shutil.which(name))
    return directory


def test_from_a_pod_a_mark_is_left_until_libvirtd_has_been_told(nodes, authority, as_in_a_pod, tmp_path):
    own = Certificates(nodes["node-a"])
    given = as_secret(own.issued(authority), tmp_path / "secret"), authority.files.certificate
    mark = own.node.certificates / ".reload"
    assert own.install(*given, programs=as_in_a_pod) == "certificates installed\n"
    assert own.install(*given, programs=as_in_a_pod) == ""
    assert mark.exists()
    assert own.install(*given).startswith("update tls related files succeed")
    assert not mark.exists()


def test_keys_are_for_those_who_need_them_and_certificates_for_all(known):
    modes = {
        str(file.relative_to(known["node-a"].node.certificates)): oct(file.stat().st_mode & 0o777)
        for file in known["node-a"].node.certificates.rglob("*")
    }
    assert {modes[each] for each in ("CA", "libvirt", "qemu")} == {"0o755"}
    assert modes["libvirt/private"] == "0o700"
    assert {modes[f"qemu/{each}.pem"] for each in ("ca-cert", "server-cert", "client-cert")} == {"0o644"}
    assert (modes["qemu/server-key.pem"], modes["libvirt/private/serverkey.pem"]) == ("0o640", "0o600")


def test_of_a_secret_that_is_not_whole_nothing_is_installed(nodes, authority, tmp_path):
    own = Certificates(nodes["node-a"])
    before = own.read()
    secret = as_secret(own.issued(authority), tmp_path / "secret")
    (secret / "tls.key").write_text("")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        own.install(secret, authority.files.certificate)
    assert "tls.key is missing or empty: nothing is changed" in refused.value.stderr
    assert own.read() == before


def test_certificates_and_their_authority_are_replaced_while_a_migration_runs_and_then_the_old_ones_are_refused(
    nodes, tmp_path, recognizable, move, assert_runs_only_on
):
    """The overlap: first both authorities everywhere, then the new certificates, then the old authority goes."""
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    both = tmp_path / "both.pem"
    both.write_bytes(old.files.certificate.read_bytes() + new.files.certificate.read_bytes())
    hosts = {name: Certificates(node) for name, node in nodes.items()}
    secrets = {
        (name, which): as_secret(host.issued(authority), tmp_path / f"{which}-{name}")
        for name, host in hosts.items()
        for which, authority in (("old", old), ("new", new))
    }

    def install(name, which, authorities):
        said = hosts[name].install(secrets[name, which], authorities)
        assert f" /etc/pki libvirt-qemu\n{said.strip()}\n```" in PAGE
        assert hosts[name].install(secrets[name, which], authorities) == ""

    for name in hosts:
        install(name, "old", old.files.certificate)
    lasting = recognizable(
        **HOPELESS_GUEST, memory=128 * MIB, working_set=64 * MIB, pattern=Pattern.SEQUENTIAL
    )
    begun = move(lasting, **{**HOPELESS, "start": REQUIRED["start"], "progressTimeout": "0s"})
    begun.passes(2)

    for name in hosts:
        install(name, "old", both)
    install("node-b", "new", both)
    first = recognizable()
    assert move(first, **REQUIRED).ends().status.phase == Phase.SUCCEEDED  # node-a has its old one still
    install("node-a", "new", both)
    for name in hosts:
        install(name, "new", new.files.certificate)
    second = recognizable()
    assert move(second, **REQUIRED).ends().status.phase == Phase.SUCCEEDED

    assert [each.outcome for each in begun.get().status.attempts] == [None]
    begun.patch_spec(overrides={"maxDowntime": "2s"})
    done = begun.ends()
    assert (done.status.phase, len(done.status.attempts)) == (Phase.SUCCEEDED, 1)

    install("node-a", "old", both)
    third = recognizable()
    refused = move(third, **REQUIRED).ends()
    assert (refused.status.phase, refused.status.attempts[-1].outcome) == (
        Phase.FAILED,
        AttemptOutcome.FAILED,
    )
    assert "it needs a clientcert.pem" in refused.status.attempts[-1].error
    for guest, host in ((lasting, "node-b"), (first, "node-b"), (second, "node-b"), (third, "node-a")):
        assert_runs_only_on(guest, host)
