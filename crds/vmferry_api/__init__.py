"""The contract: the types of vmferry.io/v1alpha1, from which the CRDs are generated."""

GROUP = "vmferry.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FINALIZER = f"{GROUP}/migration"
"""Held by the operator while a migration is not over, so that a deletion aborts before it removes."""
