"""The configuration of a node: what lies in its /etc/libvirt, and how it finds names."""

from collections.abc import Mapping
from pathlib import Path

CONFIGURATION = Path("/etc/libvirt")
"""Where the node has it."""
CERTIFICATES = Path("/etc/pki")
"""Where libvirt and QEMU look for certificates, unless they are told another place."""
IMAGES = Path("/var/lib/libvirt/images")
"""Where each node has disks of its own; libvirt's usual place."""
GROUP = "libvirt"
"""Who may use the daemon's socket; Debian's name."""
GROUP_ID = 64056
"""The group's number on nodes of a machine that lacks it (node.sh)."""
POOL = "local"
"""The storage pool there; libvirt copies a disk to none but a pool."""
DAEMON_PORTS = range(16509, 16510), range(16514, 16515)
"""Where libvirtd takes other daemons' connections: plain, and by TLS. libvirt's defaults."""
STREAM_PORTS = range(49152, 49216)
"""Where QEMU takes a migration's memory and disks; libvirt's defaults."""

_KEEPALIVE = "keepalive_interval = 1\nkeepalive_count = 3\n"
"""A silent peer is given up after 3.5 s, not libvirt's 28.5 s; each daemon is both client and server of others."""


def libvirtd_conf(*, address: object, identity: object) -> str:
    """The daemon's configuration.

    Args:
        address: Where other daemons reach it.
        identity: Its UUID, since all nodes read one machine's.
    """
    return (
        f'host_uuid = "{identity}"\n'
        f'listen_addr = "{address}"\n'
        "listen_tcp = 1\n"
        "listen_tls = 1\n"
        'auth_tcp = "none"\n'
        'auth_tls = "none"\n'
        'auth_unix_ro = "none"\n'
        'auth_unix_rw = "none"\n'
        f'unix_sock_group = "{GROUP}"\n'
        'unix_sock_rw_perms = "0770"\n'
        'log_outputs = "2:file:/var/log/libvirt/libvirtd.log"\n'
        "max_clients = 200\n"
        f"{_KEEPALIVE}"
    )


def qemu_conf(*, address: object) -> str:
    """The configuration of QEMU under the daemon.

    QEMU is root with all capabilities: CAP_SYS_PTRACE is what userfaultfd, and so post-copy, takes where
    vm.unprivileged_userfaultfd is 0. `remember_owner` would note on a shared file that the other node uses it.

    Args:
        address: Where migrations come in.
    """
    return (
        'user = "root"\n'
        'group = "root"\n'
        "clear_emulator_capabilities = 0\n"
        'security_driver = "none"\n'
        'stdio_handler = "file"\n'
        "cgroup_controllers = []\n"
        "remember_owner = 0\n"
        f'migration_host = "{address}"\n'
        f"migration_port_min = {STREAM_PORTS.start}\n"
        f"migration_port_max = {STREAM_PORTS.stop - 1}\n"
        "migrate_tls_x509_verify = 1\n"
        f"{_KEEPALIVE}"
    )


def install_certificates(directory: Path, *, authorities: bytes, certificate: bytes, key: bytes) -> None:
    """Put what a host needs where libvirt and QEMU look for it: each node is other nodes' server and client.

    Args:
        directory: Its CERTIFICATES, as seen from here.
        authorities: The certificates (PEM) of those whose word it takes.
        certificate: Its own (PEM).
        key: Of its own certificate (PEM).
    """
    files = {"CA/cacert.pem": authorities, "qemu/ca-cert.pem": authorities}
    for role in ("server", "client"):
        files |= {f"libvirt/{role}cert.pem": certificate, f"qemu/{role}-cert.pem": certificate}
        files |= {f"libvirt/private/{role}key.pem": key, f"qemu/{role}-key.pem": key}
    for name, content in files.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def hosts_file(addresses: Mapping[str, object]) -> str:
    """The names of all nodes: without its own, libvirt waits 10 s for a name server at each start of a guest."""
    lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in addresses.items())]
    return "".join(f"{line}\n" for line in lines)


def binds_table(binds: Mapping[Path, Path]) -> str:
    """What is mounted where in the node, as node.sh reads it: a line of source and target for each."""
    return "".join(f"{source} {target}\n" for source, target in binds.items())


def pool_xml() -> str:
    """The storage pool."""
    return f"<pool type='dir'>\n  <name>{POOL}</name>\n  <target><path>{IMAGES}</path></target>\n</pool>\n"
