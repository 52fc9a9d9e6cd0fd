"""Whether a policy's selector is for a migration, and how specific it is."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from vmferry_api.migrations import VMMigration
from vmferry_api.policies import PolicySelector
from vmferry_operator.decisions.labels import requirements, unmet


class Specificity(NamedTuple):
    """How closely a selector describes a migration; the greater one wins, compared field by field."""

    exact_name: bool
    """`names` holds the VM's very name, not only a pattern that fits: the lasting override for single VMs."""
    parts: int
    """How many of `vms`, `names` and `namespaces` ask for something."""
    requirements: int
    """How many labels and expressions `vms` and `namespaces` ask for together."""


class Match(NamedTuple):
    """What came of holding a selector against a migration."""

    specificity: Specificity
    unmet: str | None = None
    """What it asks for in vain, in words."""
    namespace_unknown: bool = False
    """All else fits, and what it asks of the namespace can't be told just now."""

    @property
    def certain(self) -> bool:
        """Whether the migration is known to be selected."""
        return self.unmet is None and not self.namespace_unknown


def match(
    selector: PolicySelector, migration: VMMigration, namespace_labels: Mapping[str, str] | None
) -> Match:
    """Hold a selector against a migration: every part that is given must fit, an empty one selects everything.

    Args:
        selector: The policy's.
        migration: Its labels count for `vms`, its spec.vm for `names`.
        namespace_labels: The labels of its namespace; None: not known just now.
    """
    vm = migration.spec.vm
    in_vain = _unmet_name(selector.names, vm)
    if in_vain is None and selector.vms is not None:
        in_vain = unmet(selector.vms, migration.metadata.labels)
    of_vm, of_namespace = requirements(selector.vms), requirements(selector.namespaces)
    if in_vain is None and selector.namespaces is not None and namespace_labels is not None:
        in_vain = _of_namespace(unmet(selector.namespaces, namespace_labels))
    return Match(
        specificity=Specificity(
            exact_name=vm in selector.names,
            parts=bool(of_vm) + bool(selector.names) + bool(of_namespace),
            requirements=of_vm + of_namespace,
        ),
        unmet=in_vain,
        namespace_unknown=in_vain is None and of_namespace > 0 and namespace_labels is None,
    )


def _unmet_name(names: list[str], vm: str) -> str | None:
    """A name that holds brackets fits itself, too, though as a pattern it would not."""
    if not names or any(name == vm or fnmatchcase(vm, name) for name in names):
        return None
    return f"a name like {' or '.join(names)}"


def _of_namespace(in_vain: str | None) -> str | None:
    return None if in_vain is None else f"a namespace with {in_vain}"
