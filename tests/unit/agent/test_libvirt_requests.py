"""What a start is to libvirt beyond a policy's options: where it goes, and what becomes of the disks."""

import libvirt
import pytest

from vmferry_agent.hypervisor.libvirt_options import cache_size
from vmferry_agent.hypervisor.libvirt_requests import flags_of, parameters_of, refuse_addresses
from vmferry_agent.hypervisor.port import HypervisorError, StartRequest
from vmferry_api.migrations import Storage
from vmferry_api.policies import Encryption, StartOptions

MI = 2**20
PLAIN = {
    "connect_uri": "qemu+tls://b/system",
    "migration_uri": None,
    "bandwidth": None,
    "post_copy_bandwidth": None,
    "post_copy": False,
    "persistent": False,
    "options": StartOptions(),
}
P2P = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER
ENCRYPTED = StartOptions(encryption=Encryption.REQUIRED)


@pytest.mark.parametrize(
    ("given", "flags"),
    [
        ({}, 0),
        ({"storage": Storage.COPY_ALL}, libvirt.VIR_MIGRATE_NON_SHARED_DISK),
        ({"storage": Storage.COPY_INCREMENTAL}, libvirt.VIR_MIGRATE_NON_SHARED_INC),
        ({"post_copy": True}, libvirt.VIR_MIGRATE_POSTCOPY),
        ({"persistent": True}, libvirt.VIR_MIGRATE_PERSIST_DEST | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE),
        ({"options": ENCRYPTED}, libvirt.VIR_MIGRATE_TLS),
    ],
)
def test_each_flag_of_a_start_is_one_that_was_asked_for(given, flags):
    assert flags_of(StartRequest(**{**PLAIN, **given})) == P2P | flags


@pytest.mark.parametrize(
    "given", [{"connect_uri": "qemu+tcp://b/system"}, {"migration_uri": "rdma://b:49152"}], ids=str
)
def test_what_must_be_encrypted_starts_by_no_address_that_leaves_it_readable(given):
    refuse_addresses(StartRequest(**{**PLAIN, "options": ENCRYPTED}))
    refuse_addresses(StartRequest(**{**PLAIN, **given}))
    with pytest.raises(HypervisorError, match="encryption is Required, but"):
        refuse_addresses(StartRequest(**{**PLAIN, **given, "options": ENCRYPTED}))


def test_nothing_starts_by_what_is_no_address_of_a_daemon_encrypted_or_not():
    with pytest.raises(HypervisorError, match="no address of a QEMU host's daemon"):
        refuse_addresses(StartRequest(**{**PLAIN, "connect_uri": "qemu+ext:///system?command=/tmp/x"}))


def test_a_socket_leads_to_a_target_only_where_the_hosts_are_one_machine():
    request = StartRequest(**{**PLAIN, "connect_uri": "qemu+unix:///system?socket=/run/x"})
    refuse_addresses(request, same_machine=True)
    with pytest.raises(HypervisorError, match="a socket of the source's own host"):
        refuse_addresses(request)


@pytest.mark.parametrize("given", [{"migration_uri": "unix:///run/x"}, {"tls_destination": ""}], ids=str)
def test_no_memory_goes_elsewhere_than_to_a_host_that_is_named(given):
    with pytest.raises(
        HypervisorError, match=r"no address that a QEMU listens at|no name that a certificate"
    ):
        refuse_addresses(StartRequest(**{**PLAIN, **given}))


@pytest.mark.parametrize("storage", list(Storage))
def test_libvirt_s_own_check_of_the_disks_is_never_switched_off(storage):
    assert not flags_of(StartRequest(**PLAIN, storage=storage)) & libvirt.VIR_MIGRATE_UNSAFE


@pytest.mark.parametrize(
    ("given", "parameters"),
    [
        ({}, {}),
        ({"migration_uri": "tcp://b"}, {"migrate_uri": "tcp://b"}),
        ({"bandwidth": 50 * MI}, {"bandwidth": 50}),
        ({"post_copy": True, "post_copy_bandwidth": 9 * MI}, {"bandwidth.postcopy": 9}),
        ({"post_copy_bandwidth": 9 * MI}, {}),
        ({"options": ENCRYPTED, "tls_destination": "b.example"}, {"tls.destination": "b.example"}),
        ({"options": ENCRYPTED}, {}),
        ({"tls_destination": "b.example"}, {}),
        ({"storage": Storage.COPY_ALL}, {}),
    ],
)
def test_parameters_say_no_more_than_was_asked_for(given, parameters):
    assert parameters_of(StartRequest(**{**PLAIN, **given})) == parameters


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        (64 * MI, 64 * MI),
        (100 * MI, 64 * MI),
        (127 * MI, 64 * MI),
        (128 * MI, 128 * MI),
        (1, 4096),
        (0, 4096),
    ],
)
def test_qemu_is_given_a_cache_of_the_size_that_it_takes(wanted, taken):
    assert cache_size(wanted) == taken
