"""A guest of the lab, on whichever host it is."""

import hashlib
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import libvirt
import libvirt_qemu

from vmferry_lab.errors import LabError
from vmferry_lab.guests.image import MAX_RATE, GuestSpec, disk_image, rate_units
from vmferry_lab.guests.local_disk import LocalDisk
from vmferry_lab.guests.verdict import Verdict, verdict
from vmferry_lab.hosts.host import Host
from vmferry_lab.hosts.privileges import give_away
from vmferry_lab.until import until

BOOT_TIMEOUT = 60.0
RATE_TIMEOUT = 5.0
"""Seconds in which a guest that is between two hosts must be back to have its rate set."""
_LEAVE_TIMEOUT = 30.0
"""Seconds in which libvirt must have forgotten a guest that has left."""
_SCRATCH_REGISTER = 0x3FF
_IDLE = 255
_GONE = {libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_DOMAIN}
"""What libvirt says of a domain that does not run (any more), or is not there (any more)."""
_STATES = {1: "running", 3: "paused", 5: "shut off", 6: "crashed"}


@dataclass(frozen=True)
class Guest:
    """A guest, known by its name; its files lie in the lab's directory.

    QEMU emulates its processor (TCG), also where there is /dev/kvm: all figures of the lab are for that, and that
    one may open /dev/kvm does not mean that it works (in a virtual machine QEMU 7.2 can abort on its first MSR).
    """

    name: str
    lab: Path

    @property
    def uuid(self) -> str:
        """The domain's; it follows from lab and name."""
        digest = hashlib.sha256(f"{self.lab}/{self.name}".encode()).digest()
        return str(uuid.UUID(bytes=digest[:16], version=4))

    @property
    def console(self) -> Path:
        """What the guest has said, on all hosts that it has run on."""
        return self.lab / "guests" / f"{self.name}.console"

    @property
    def _image(self) -> Path:
        return self.lab / "guests" / f"{self.name}.img"

    def start(self, host: Host, spec: GuestSpec, *, persistent: bool = True) -> None:
        """Define and start it on a host; it has booted when this returns.

        Raises:
            LabError: libvirt refuses, it does not boot, or the host has no local disks.
        """
        self._image.parent.mkdir(parents=True, exist_ok=True)
        self.remove_files()
        self._image.write_bytes(disk_image(spec))
        self.console.touch()
        give_away(self._image, self.console)
        disk = self._local_disk(host) if spec.local_disk else None
        with _connected(host) as connection:
            try:
                if disk is not None:
                    disk.write(connection)
                if persistent:
                    connection.defineXML(self._xml(spec, disk)).create()
                else:
                    connection.createXML(self._xml(spec, disk), 0)
            except libvirt.libvirtError as error:
                raise LabError(f"guest {self.name} can't start on {host.name}: {error}") from error
        until(f"the guest {self.name} to boot", lambda: self.verdict().ticks, timeout=BOOT_TIMEOUT)

    def set_rate(self, hosts: Iterable[Host], dirty_rate: int) -> None:
        """Change its rate of dirtying, in bytes per second, also while it migrates; the new rate migrates with it.

        It is told by the scratch register of its serial port. A rate so low that it rounds to none makes it idle.

        Raises:
            LabError: It runs nowhere, or the rate is too high.
        """
        if not 0 <= dirty_rate <= MAX_RATE:
            raise LabError(f"guest {self.name}: dirty rate must be from 0 to {MAX_RATE} bytes per second")
        units = rate_units(dirty_rate) or _IDLE
        several = list(hosts)
        try:
            until(
                f"the guest {self.name} to run on one of {', '.join(host.name for host in several)}",
                lambda: any(self._set_units(host, units) for host in several),
                timeout=RATE_TIMEOUT,
            )
        except TimeoutError as error:
            raise LabError(str(error)) from error

    def verdict(self) -> Verdict:
        """What its console proves so far."""
        return verdict(self.console.read_text(errors="replace") if self.console.exists() else "")

    def states(self, hosts: Iterable[Host]) -> dict[str, str]:
        """Its state on each host that knows it."""
        found = {}
        for host in hosts:
            with _connected(host) as connection:
                domain = _find(connection, self.uuid)
                if domain is None:
                    continue
                try:
                    found[host.name] = _STATES.get(domain.state()[0], "other")
                except libvirt.libvirtError as error:
                    if error.get_error_code() not in _GONE:  # it has left since
                        raise
        return found

    def settled_states(self, hosts: Iterable[Host]) -> dict[str, str]:
        """The same, once no host lists it as shut off, as one that it has just left does for a moment.

        Raises:
            LabError: A host goes on listing it so, or none has it.
        """
        several = list(hosts)

        def settled() -> dict[str, str] | None:
            found = self.states(several)
            return None if "shut off" in found.values() else found

        try:
            return until(f"the guest {self.name} to have left", settled, timeout=_LEAVE_TIMEOUT)
        except TimeoutError as error:
            raise LabError(f"{error}; it is {self.states(several) or 'nowhere'}") from error

    def is_persistent(self, host: Host) -> bool:
        """Whether a host keeps its definition when it stops."""
        with _connected(host) as connection:
            domain = _find(connection, self.uuid)
            return domain is not None and bool(domain.isPersistent())

    def is_migrating(self, host: Host) -> bool:
        """Whether a host's libvirt has a migration of it under way."""
        with _connected(host) as connection:
            domain = _find(connection, self.uuid)
            return domain is not None and domain.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE

    def local_disk_checksum(self, host: Host) -> str | None:
        """What is on its local disk on a host; None: it has none there.

        Raises:
            LabError: The host has no local disks.
        """
        return self._local_disk(host).checksum

    def destroy(self, hosts: Iterable[Host]) -> None:
        """Stop it and undefine it everywhere, and remove its files.

        Raises:
            LabError: A host does not answer; on the others it is gone.
        """
        errors = []
        for host in hosts:
            try:
                with _connected(host) as connection:
                    domain = _find(connection, self.uuid)
                    if domain is not None:
                        _remove(domain)
                    if host.local_disks is not None:
                        LocalDisk(self.name, host.local_disks).remove(connection)
            except LabError as error:
                errors.append(error)
        if errors:
            raise errors[0]
        self.remove_files()

    def remove_files(self) -> None:
        """Remove its disk and its console."""
        self._image.unlink(missing_ok=True)
        self.console.unlink(missing_ok=True)

    def _set_units(self, host: Host, units: int) -> bool:
        """Whether it runs here and was told."""
        with _connected(host) as connection:
            domain = _find(connection, self.uuid)
            try:
                if domain is None or domain.state()[0] != libvirt.VIR_DOMAIN_RUNNING:
                    return False
                libvirt_qemu.qemuMonitorCommand(
                    domain,
                    f"o /b {_SCRATCH_REGISTER:#x} {units}",
                    libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP,
                )
            except libvirt.libvirtError as error:
                if error.get_error_code() in _GONE:  # it has just left for the other host
                    return False
                raise LabError(f"guest {self.name} on {host.name} can't be told its rate: {error}") from error
            return True

    def _local_disk(self, host: Host) -> LocalDisk:
        if host.local_disks is None:
            raise LabError(
                f"{host.name} has no disks of its own: only hosts of kind node have (--hosts-kind)"
            )
        return LocalDisk(self.name, host.local_disks)

    def _xml(self, spec: GuestSpec, disk: LocalDisk | None) -> str:
        """The domain.

        The disk that it boots from is read-only, so that libvirt deems live migration safe without shared storage.
        ACPI is what devices can be attached by; the guest itself knows nothing of it.
        """
        return f"""<domain type='qemu'>
  <name>{escape(self.name)}</name>
  <uuid>{self.uuid}</uuid>
  <memory unit='b'>{spec.memory}</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os>
  <features><acpi/></features>
  <cpu mode='custom'><model>qemu64</model></cpu>
  <devices>
    <emulator>{shutil.which("qemu-system-x86_64")}</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='{escape(str(self._image))}'/>
      <target dev='vda' bus='virtio'/>
      <readonly/>
    </disk>{_disk_xml(disk) if disk else ""}
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <serial type='file'><source path='{escape(str(self.console))}' append='on'/></serial>
    <video><model type='none'/></video>
  </devices>
</domain>"""


def _disk_xml(disk: LocalDisk) -> str:
    return f"""
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='{escape(str(disk.path))}'/>
      <target dev='vdb' bus='virtio'/>
    </disk>"""


def guests_in(lab: Path) -> list[Guest]:
    """The guests of a lab."""
    return [Guest(path.stem, lab) for path in sorted((lab / "guests").glob("*.img"))]


@contextmanager
def _connected(host: Host) -> Iterator[libvirt.virConnect]:
    try:
        connection = libvirt.open(host.uri)
    except libvirt.libvirtError as error:
        raise LabError(f"libvirtd of {host.name} does not answer: {error}") from error
    try:
        yield connection
    finally:
        connection.close()


def _find(connection: libvirt.virConnect, uuid_: str) -> libvirt.virDomain | None:
    return next((each for each in connection.listAllDomains() if each.UUIDString() == uuid_), None)


def _remove(domain: libvirt.virDomain) -> None:
    for act in (domain.destroy, domain.undefine):
        try:
            act()
        except libvirt.libvirtError as error:
            if error.get_error_code() not in _GONE:
                raise LabError(f"guest {domain.name()} can't be removed: {error}") from error
