"""What a policy's start options are to libvirt."""

import libvirt
import pytest

from vmferry_agent.hypervisor.libvirt_options import option_flags, option_parameters
from vmferry_agent.hypervisor.port import HypervisorError
from vmferry_api.policies import StartOptions

NEWER = {
    "VIR_MIGRATE_PARAM_COMPRESSION_ZLIB_LEVEL": "compression.zlib.level",
    "VIR_MIGRATE_PARAM_COMPRESSION_ZSTD_LEVEL": "compression.zstd.level",
}


@pytest.fixture
def newer_libvirt(monkeypatch):
    for name, value in NEWER.items():
        monkeypatch.setattr(libvirt, name, value, raising=False)


@pytest.mark.parametrize(
    ("options", "flags", "parameters"),
    [
        ({}, 0, {}),
        (
            {"autoConverge": {"initial": 40, "increment": 30}},
            libvirt.VIR_MIGRATE_AUTO_CONVERGE,
            {"auto_converge.initial": 40, "auto_converge.increment": 30},
        ),
        (
            {"compression": {"method": "XBZRLE", "cacheSize": "64Mi"}},
            libvirt.VIR_MIGRATE_COMPRESSED,
            {"compression": "xbzrle", "compression.xbzrle.cache": 64 * 2**20},
        ),
        (
            {"compression": {"method": "XBZRLE", "cacheSize": "100Mi"}},
            libvirt.VIR_MIGRATE_COMPRESSED,
            {"compression": "xbzrle", "compression.xbzrle.cache": 64 * 2**20},
        ),
        (
            {"parallelConnections": 2, "encryption": "Required"},
            libvirt.VIR_MIGRATE_PARALLEL | libvirt.VIR_MIGRATE_TLS,
            {"parallel.connections": 2},
        ),
        (
            {"autoConverge": {"initial": 90, "increment": 9}, "compression": {"method": "XBZRLE"}},
            libvirt.VIR_MIGRATE_AUTO_CONVERGE | libvirt.VIR_MIGRATE_COMPRESSED,
            {"auto_converge.initial": 90, "auto_converge.increment": 9, "compression": "xbzrle"},
        ),
        ({"compression": {"method": "XBZRLE"}}, libvirt.VIR_MIGRATE_COMPRESSED, {"compression": "xbzrle"}),
        (
            {"compression": {"method": "Zlib"}, "parallelConnections": 2},
            libvirt.VIR_MIGRATE_COMPRESSED | libvirt.VIR_MIGRATE_PARALLEL,
            {"compression": "zlib", "parallel.connections": 2},
        ),
        (
            {"compression": {"method": "Zstd"}, "parallelConnections": 4},
            libvirt.VIR_MIGRATE_COMPRESSED | libvirt.VIR_MIGRATE_PARALLEL,
            {"compression": "zstd", "parallel.connections": 4},
        ),
        (
            {"parallelConnections": 2, "zeroCopy": True},
            libvirt.VIR_MIGRATE_PARALLEL | libvirt.VIR_MIGRATE_ZEROCOPY,
            {"parallel.connections": 2},
        ),
        ({"encryption": "Required"}, libvirt.VIR_MIGRATE_TLS, {}),
        ({"encryption": "Disabled", "zeroCopy": False}, 0, {}),
    ],
)
@pytest.mark.usefixtures("newer_libvirt")
def test_each_option_is_asked_of_libvirt(options, flags, parameters):
    given = StartOptions.model_validate(options)
    assert (option_flags(given), option_parameters(given)) == (flags, parameters)


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({"zeroCopy": True}, "VIR_MIGRATE_ZEROCOPY"),
        ({"encryption": "Required"}, "VIR_MIGRATE_TLS"),
        ({"compression": {"method": "Zstd"}}, "VIR_MIGRATE_PARAM_COMPRESSION_ZSTD_LEVEL"),
        ({"compression": {"method": "Zlib"}}, "VIR_MIGRATE_PARAM_COMPRESSION_ZLIB_LEVEL"),
        ({"compression": {"method": "XBZRLE"}}, "VIR_MIGRATE_PARAM_COMPRESSION_XBZRLE_CACHE"),
        ({"parallelConnections": 2}, "VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS"),
        ({"parallelConnections": 2}, "VIR_MIGRATE_PARALLEL"),
        ({"autoConverge": {}}, "VIR_MIGRATE_PARAM_AUTO_CONVERGE_INITIAL"),
    ],
)
def test_what_libvirt_here_does_not_know_is_refused_in_words(monkeypatch, options, missing):
    monkeypatch.delattr(libvirt, missing, raising=False)
    given = StartOptions.model_validate(options)
    with pytest.raises(HypervisorError, match=rf"libvirt [0-9.]+ is too old: it has no {missing}"):
        option_flags(given), option_parameters(given)


def test_an_older_libvirt_serves_those_who_do_not_ask_for_what_is_newer(monkeypatch):
    for name in ("VIR_MIGRATE_ZEROCOPY", "VIR_MIGRATE_PARALLEL", *NEWER):
        monkeypatch.delattr(libvirt, name, raising=False)
    assert option_flags(StartOptions()) == 0
