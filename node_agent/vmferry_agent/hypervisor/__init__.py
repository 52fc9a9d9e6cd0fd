"""The hypervisor of this node: the port, and libvirt behind it."""
