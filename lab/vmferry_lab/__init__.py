"""A real control plane and real libvirt hosts on one machine, for the demo, the tests and the benchmarks."""
