"""Real libvirt hosts on one machine."""
