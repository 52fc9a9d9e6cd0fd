"""Looks at a libvirt daemon once, as what runs migrations needs it. These functions block, and may hang."""

import grp
import stat
import xml.etree.ElementTree as ET
from pathlib import Path

import libvirt

from vmferry_agent.clock import Clock
from vmferry_agent.decisions.certificates import ending
from vmferry_agent.decisions.preflight import (
    Finding,
    Refusal,
    Socket,
    capable,
    no_qemu,
    not_opened,
    reached,
    socket_named,
    unread_configuration,
)
from vmferry_agent.hypervisor.features import features
from vmferry_agent.hypervisor.host_certificates import certificates_end
from vmferry_agent.hypervisor.libvirt_daemons import daemon_behind
from vmferry_agent.hypervisor.versions import version_in_words


def look_at_daemon(uri: str) -> list[Finding]:
    """What is to be said of this host's daemon."""
    _keep_quiet()
    try:
        connection = libvirt.open(uri)
    except libvirt.libvirtError as error:
        refusal = _refusal(error)
        path = socket_named(refusal.message)
        return [not_opened(uri, refusal, None if path is None else _socket(Path(path)))]
    try:
        return _abilities(connection)
    except libvirt.libvirtError as error:
        return [no_qemu(uri, _refusal(error))]
    finally:
        connection.close()


def look_where_it_leads(uri: str, own_uri: str) -> list[Finding]:
    """Whether the URI for other hosts leads to this one's daemon; nothing, if that can't be asked itself."""
    _keep_quiet()
    try:
        own = _host_uuid(own_uri)
    except libvirt.libvirtError:
        return []
    try:
        found, trouble = _host_uuid(uri), ""
    except libvirt.libvirtError as error:
        found, trouble = None, _refusal(error).message
    return [reached(uri, own=own, found=found, trouble=trouble)]


def _abilities(connection: libvirt.virConnect) -> list[Finding]:
    qemu = connection.getVersion()  # starts a QEMU to ask it, on a fresh host
    library = connection.getLibVersion()
    daemon = daemon_behind(connection)
    can = features(qemu_version=qemu, libvirt_version=min(library, libvirt.getVersion()), daemon=daemon)
    found = capable(version_in_words(library), version_in_words(qemu), can)
    if daemon is not None and daemon.settings is None:
        found.append(unread_configuration())
    return [*found, *ending(certificates_end(daemon), Clock().now())]


def _host_uuid(uri: str) -> str:
    connection = libvirt.open(uri)
    try:
        capabilities = ET.fromstring(connection.getCapabilities())  # noqa: S314 - libvirt's own
    finally:
        connection.close()
    return capabilities.findtext("host/uuid") or ""


def _socket(path: Path) -> Socket:
    try:
        state = path.stat()
    except OSError:
        return Socket(exists=False)
    try:
        group = grp.getgrgid(state.st_gid).gr_name
    except KeyError:
        group = str(state.st_gid)  # in a container, the host's groups have no names
    return Socket(exists=True, is_directory=stat.S_ISDIR(state.st_mode), group=group)


def _refusal(error: libvirt.libvirtError) -> Refusal:
    return Refusal(
        code=error.get_error_code() or 0,
        domain=error.get_error_domain() or 0,
        message=" ".join((error.get_error_message() or str(error)).split()),
    )


def _keep_quiet() -> None:
    """Errors are raised; libvirt need not print them, too."""
    libvirt.registerErrorHandler(lambda *_: None, None)
