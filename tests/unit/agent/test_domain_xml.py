"""What a domain needs of another host, from XML that libvirt has given."""

import pytest

from vmferry_agent.hypervisor.domain_xml import hardware
from vmferry_api.migrations import Disk

EMULATED = """<domain type='qemu' id='1'>
  <name>vm-1</name>
  <os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type><boot dev='hd'/></os>
  <cpu mode='custom' match='exact' check='full'>
    <model fallback='forbid'>qemu64</model>
    <feature policy='disable' name='avx512f'/>
    <feature policy='require' name='hypervisor'/>
  </cpu>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='/lab/guests/vm-1.img' index='1'/>
      <backingStore/>
      <target dev='vda' bus='virtio'/>
      <readonly/>
    </disk>
    <serial type='file'><source path='/lab/guests/vm-1.console' append='on'/></serial>
  </devices>
</domain>"""
WITH_DISKS = """<domain type='kvm' id='7'>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
  <cpu mode='host-passthrough' check='none' migratable='on'/>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <source file='/images/root.qcow2' index='4'/>
      <backingStore type='file' index='5'><format type='qcow2'/><source file='/images/base.qcow2'/></backingStore>
      <target dev='vda'/>
    </disk>
    <disk type='block' device='disk'><source dev='/dev/vg/data' index='3'/><target dev='vdb'/></disk>
    <disk type='file' device='disk'><source file='/images/quorum.img'/><target dev='vdc'/><shareable/></disk>
    <disk type='file' device='cdrom'>
      <source file='/iso/a.iso' startupPolicy='optional'/><target dev='sda'/><readonly/>
    </disk>
    <disk type='file' device='cdrom'><target dev='sdb'/><readonly/></disk>
    <disk type='network' device='disk'><source protocol='rbd' name='pool/image'/><target dev='vdd'/></disk>
    <disk type='volume' device='disk'><source pool='default' volume='v.img'/><target dev='vde'/></disk>
  </devices>
</domain>"""


def test_the_host_that_the_guest_needs_is_told_by_its_xml():
    needs = hardware(EMULATED)
    assert (needs.type, needs.arch, needs.machine, needs.emulator) == (
        "qemu",
        "x86_64",
        "pc-i440fx-7.2",
        "/usr/bin/qemu-system-x86_64",
    )
    assert needs.cpu is not None
    assert needs.cpu.startswith("<cpu ")
    assert "avx512f" in needs.cpu
    assert needs.disks == [Disk(path="/lab/guests/vm-1.img", copied=False)]


def test_disks_are_the_files_and_devices_that_the_guest_can_not_do_without():
    assert hardware(WITH_DISKS).disks == [
        Disk(path="/images/root.qcow2", copied=True),
        Disk(path="/dev/vg/data", copied=True),
        Disk(path="/images/quorum.img", copied=False),
    ]


@pytest.mark.parametrize(
    ("cpu", "comparable"),
    [
        ("<cpu mode='custom' match='exact' check='full'><model>EPYC</model></cpu>", True),
        ("<cpu mode='custom' match='exact' check='partial'><model>EPYC</model></cpu>", True),
        ("<cpu mode='custom' match='exact' check='none'><model>EPYC</model></cpu>", False),
        ("<cpu mode='custom' match='exact'><model>EPYC</model></cpu>", False),
        ("<cpu mode='host-passthrough' check='none'/>", False),
        ("<cpu mode='maximum' check='none'/>", False),
        ("<cpu><topology sockets='1' cores='2' threads='1'/></cpu>", False),
        ("", False),
        (f"<cpu mode='custom' check='full'><model>{'x' * 9000}</model></cpu>", False),
    ],
)
def test_only_a_processor_whose_features_are_known_is_compared(cpu, comparable):
    needs = hardware(f"<domain type='kvm'><os><type arch='x86_64'>hvm</type></os>{cpu}</domain>")
    assert (needs.cpu is not None) == comparable


def test_a_domain_that_says_little_is_no_error():
    needs = hardware("<domain type='kvm'/>")
    assert (needs.arch, needs.machine, needs.emulator, needs.cpu, needs.disks) == ("", None, None, None, [])
