"""No constant of libvirt's is used unguarded that libvirt 9.0, the oldest one supported, does not have."""

import ast
from collections.abc import Iterator
from pathlib import Path

import libvirt

import vmferry_agent

SINCE = """
VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE 1.2.6
VIR_DOMAIN_ABORT_JOB_POSTCOPY 8.5.0
VIR_DOMAIN_DIRTYRATE_MEASURED 7.2.0
VIR_DOMAIN_EVENT_ID_JOB_COMPLETED 1.3.3
VIR_DOMAIN_EVENT_ID_LIFECYCLE 0.8.0
VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION 1.3.2
VIR_DOMAIN_JOB_NONE 0.7.7
VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT 3.3.0
VIR_DOMAIN_JOB_UNBOUNDED 0.7.7
VIR_DOMAIN_MIGRATE_MAX_SPEED_POSTCOPY 5.1.0
VIR_DOMAIN_PAUSED 0.2.0
VIR_DOMAIN_PAUSED_POSTCOPY 1.3.3
VIR_DOMAIN_SHUTOFF 0.2.0
VIR_DOMAIN_SHUTOFF_MIGRATED 0.9.2
VIR_DOMAIN_STATS_DIRTYRATE 7.2.0
VIR_DOMAIN_UNDEFINE_KEEP_NVRAM 2.3.0
VIR_DOMAIN_UNDEFINE_KEEP_TPM 8.9.0
VIR_ERR_CPU_INCOMPATIBLE 1.2.6
VIR_ERR_INTERNAL_ERROR 0.1.0
VIR_ERR_INVALID_ARG 0.1.0
VIR_ERR_MIGRATE_UNSAFE 0.9.11
VIR_ERR_NO_CONNECT 0.1.0
VIR_ERR_NO_DOMAIN 0.3.0
VIR_ERR_NO_STORAGE_POOL 0.4.1
VIR_ERR_NO_STORAGE_VOL 0.4.1
VIR_ERR_OPERATION_ABORTED 0.9.9
VIR_ERR_OPERATION_INVALID 0.6.4
VIR_ERR_OPERATION_TIMEOUT 0.9.10
VIR_ERR_OPERATION_UNSUPPORTED 0.10.0
VIR_ERR_SYSTEM_ERROR 0.2.1
VIR_FROM_QEMU 0.2.0
VIR_FROM_REMOTE 0.2.3
VIR_FROM_RPC 0.1.1
VIR_MIGRATE_LIVE 0.3.2
VIR_MIGRATE_NON_SHARED_DISK 0.8.2
VIR_MIGRATE_NON_SHARED_INC 0.8.2
VIR_MIGRATE_PARAM_BANDWIDTH 1.1.0
VIR_MIGRATE_PARAM_BANDWIDTH_POSTCOPY 5.1.0
VIR_MIGRATE_PARAM_TLS_DESTINATION 6.0.0
VIR_MIGRATE_PARAM_URI 1.1.0
VIR_MIGRATE_PEER2PEER 0.7.2
VIR_MIGRATE_PERSIST_DEST 0.7.3
VIR_MIGRATE_POSTCOPY 1.3.3
VIR_MIGRATE_POSTCOPY_RESUME 8.5.0
VIR_MIGRATE_UNDEFINE_SOURCE 0.7.3
VIR_NODE_MEMORY_STATS_ALL_CELLS 0.9.3
"""
"""What may be used as it stands, with the first libvirt that has it ("Since:" in libvirt's header files)."""
OLDEST = (9, 0)


def used() -> Iterator[tuple[str, str]]:
    """Each constant that the agent takes from libvirt by its name, and where."""
    for path in sorted(Path(vmferry_agent.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("libvirt.VIR_"):
                yield node.attr, path.name


def test_each_constant_is_as_old_as_the_oldest_libvirt_or_looked_up_where_it_may_be_absent():
    """A newer one is taken by getattr, as in libvirt_options; any other goes into the table."""
    known = dict(line.split() for line in SINCE.split("\n") if line)
    assert {name: place for name, place in used() if name not in known} == {}
    newer = {name for name, since in known.items() if tuple(map(int, since.split(".")))[:2] > OLDEST}
    assert newer == set()


def test_the_table_tells_of_constants_that_there_are():
    assert [
        line.split()[0] for line in SINCE.split("\n") if line and not hasattr(libvirt, line.split()[0])
    ] == []
