#!/bin/sh
# install-certificates.sh SECRET AUTHORITIES PKI GROUP
#
# Put a host's certificate where libvirt and QEMU look for it, and have libvirtd take it, without a restart.
# SECRET       a directory with tls.crt and tls.key, as cert-manager's Secrets have them
# AUTHORITIES  a file with the certificates of all authorities whose word this host takes
# PKI          /etc/pki
# GROUP        in which QEMU runs on this host, as name or number: it must read its key
#
# Does nothing where nothing has changed. Each file is replaced at once, a certificate and its key together; a
# migration that starts in between fails, and its guest runs on.
set -eu
secret=$1 authorities=$2 pki=$3 group=$4
daemon=${DAEMON:-libvirtd} # virtproxyd, where libvirt's daemons are modular
new=$pki/.new

for file in "$secret/tls.crt" "$secret/tls.key" "$authorities"; do
  [ -s "$file" ] || { echo "$file is missing or empty: nothing is changed" >&2; exit 1; }
done

put() { # put FROM NAME MODE GROUP: lay it ready, unless it is there already
  cmp -s "$1" "$pki/$2" && return
  mkdir -p "$new/$(dirname "$2")"
  cp "$1" "$new/$2"
  chgrp "$4" "$new/$2"
  chmod "$3" "$new/$2"
}

umask 077
rm -rf "$new"
put "$authorities" CA/cacert.pem 0644 0
put "$authorities" qemu/ca-cert.pem 0644 0
for role in server client; do
  put "$secret/tls.key" "libvirt/private/${role}key.pem" 0600 0
  put "$secret/tls.crt" "libvirt/${role}cert.pem" 0644 0
  put "$secret/tls.key" "qemu/$role-key.pem" 0640 "$group"
  put "$secret/tls.crt" "qemu/$role-cert.pem" 0644 0
done

if [ -d "$new" ]; then
  for each in CA libvirt/private libvirt qemu; do
    [ -n "$(find "$new/$each" -maxdepth 1 -type f 2>/dev/null)" ] || continue
    mkdir -p "$pki/$each"
    case $each in */private) chmod 0700 "$pki/$each" ;; *) chmod 0755 "$pki/$each" ;; esac
    find "$new/$each" -maxdepth 1 -type f -exec mv -f -t "$pki/$each" {} +
  done
  rm -rf "$new"
  echo "certificates installed"
  : >"$pki/.reload"
fi

# QEMU reads its files at the start of each migration; libvirtd must be told. In a pod there is no virt-admin: then the
# host's libvirt-certificates.path sees the mark. Until libvirtd has taken them, it is told again.
[ -e "$pki/.reload" ] && command -v virt-admin >/dev/null || exit 0
rm "$pki/.reload"
virt-admin -c "$daemon:///system" server-update-tls "$daemon" || { : >"$pki/.reload"; exit 1; }
