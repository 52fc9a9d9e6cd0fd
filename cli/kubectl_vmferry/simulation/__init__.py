"""What a policy would do to a migration: the operator's and the agent's decisions over a model of QEMU; no I/O."""
