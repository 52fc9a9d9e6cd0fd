"""The container images of operator and agent: `make images`."""
