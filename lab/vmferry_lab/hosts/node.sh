#!/bin/bash
# The first process of a node's namespaces: node.sh LAB NAME
# It gives the node directories of its own, then waits, and takes leave of orphans; what it shares with the machine
# (its programs, /tmp, the lab) it leaves as it is. When it is killed, the kernel kills all else in the node.
set -euo pipefail
lab=$1 own=$1/hosts/$2

hostname "$2"
mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/{lab,cgroup}
mount --rbind /sys/fs/cgroup /run/cgroup # for a kubelet; libvirt finds none, and needs none
mount -t sysfs sysfs /sys # the node's own interfaces
mount --bind "$lab" /run/lab
for parent in /etc /var/lib /var/cache /var/log; do # the machine itself need not have mount points there
  layers=/run/layers$parent
  mkdir -p "$layers"/{upper,work}
  mount -t overlay -o "lowerdir=$parent,upperdir=$layers/upper,workdir=$layers/work" overlay "$parent"
done
mount --bind /run/lab "$lab" # it may lie below one of these
while read -r source target; do
  [ -e "$target" ] || mkdir -p "$target"
  mount --rbind "$source" "$target"
done <"$own/binds"
rm -f /etc/hosts /etc/resolv.conf
cp "$own/hosts" /etc/hosts
: >/etc/resolv.conf
# Debian's libvirtd looks its usual user and group for QEMU up, whatever qemu.conf says; a machine that only has
# libvirt-daemon has neither
getent passwd libvirt-qemu >/dev/null || echo libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin >>/etc/passwd
getent group libvirt-qemu >/dev/null || echo libvirt-qemu:x:64055: >>/etc/group
getent group libvirt >/dev/null || echo libvirt:x:64056: >>/etc/group # who may use the socket
# QEMU's ports, which a daemon's outgoing connection must not take
echo 49152-49215 >/proc/sys/net/ipv4/ip_local_reserved_ports
: >/run/ready

sleep infinity &
wait
