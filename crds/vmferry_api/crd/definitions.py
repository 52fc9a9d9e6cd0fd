"""The two CustomResourceDefinitions."""

from dataclasses import dataclass, field
from typing import Any

from vmferry_api import GROUP, VERSION
from vmferry_api.crd.schema import structural_schema
from vmferry_api.migrations import VMMigration, VMMigrationSpec, VMMigrationStatus
from vmferry_api.policies import MigrationPolicy, MigrationPolicySpec, MigrationPolicyStatus
from vmferry_api.schemas import ApiModel, rules


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of `kubectl get`."""

    name: str
    path: str
    type: str = "string"
    description: str = ""
    wide: bool = False

    def as_json(self) -> dict[str, Any]:
        """The column as the CRD spells it."""
        return {
            "name": self.name,
            "type": self.type,
            "jsonPath": self.path,
            **({"description": self.description} if self.description else {}),
            **({"priority": 1} if self.wide else {}),
        }


@dataclass(frozen=True, kw_only=True)
class Definition:
    """What a CRD needs beyond its types."""

    kind: type[ApiModel]
    spec: type[ApiModel]
    status: type[ApiModel]
    plural: str
    scope: str
    short_name: str
    columns: tuple[Column, ...]
    selectable: tuple[str, ...] = field(default=())

    @property
    def name(self) -> str:
        """The CRD's name."""
        return f"{self.plural}.{GROUP}"


NOT_LOOKED_AT = {"observedGeneration": -1}
"""The status that the API server gives a new object. kstatus takes one without observedGeneration for done, so
that whoever applies it would go on at once (Flux's own kinds have the same default)."""


def _condition(type_: str, of: str = "status") -> str:
    return f'.status.conditions[?(@.type=="{type_}")].{of}'


DEFINITIONS = (
    Definition(
        kind=MigrationPolicy,
        spec=MigrationPolicySpec,
        status=MigrationPolicyStatus,
        plural="migrationpolicies",
        scope="Cluster",
        short_name="migpol",
        columns=(
            Column(name="Default", path=".spec.globalDefault", type="boolean"),
            Column(name="Priority", path=".spec.priority", type="integer"),
            Column(name="Accepted", path=_condition("Accepted")),
            Column(name="Active", path=".status.active", type="integer"),
            Column(name="Age", path=".metadata.creationTimestamp", type="date"),
            Column(name="Description", path=".spec.description", wide=True),
        ),
    ),
    Definition(
        kind=VMMigration,
        spec=VMMigrationSpec,
        status=VMMigrationStatus,
        plural="vmmigrations",
        scope="Namespaced",
        short_name="vmmig",
        columns=(
            Column(name="VM", path=".spec.vm"),
            Column(name="Source", path=".spec.sourceNode"),
            Column(name="Target", path=".spec.targetNode"),
            Column(name="Policy", path=".status.policy.name"),
            Column(name="Phase", path=".status.phase"),
            Column(name="Reason", path=".status.reason", description="Why it is in that phase, in one word."),
            Column(name="Progress", path=".status.progress.percent", type="integer", description="Percent."),
            Column(name="Stalling", path=_condition("MigrationStalling")),
            Column(
                name="Needed",
                path=".status.progress.neededDowntime",
                description="The downtime that switching over now would take.",
            ),
            Column(
                name="Granted",
                path=".status.progress.maxDowntime",
                description="The downtime that is granted.",
            ),
            Column(
                name="Downtime",
                path=".status.attempts[-1:].downtime",
                description="How long the guest really stopped.",
            ),
            Column(
                name="Last step",
                path=".status.steps[-1:].action",
                description="What the policy did last.",
            ),
            Column(name="Age", path=".metadata.creationTimestamp", type="date"),
            Column(name="Why", path=".status.desired.reason", wide=True),
        ),
        selectable=(".spec.sourceNode", ".spec.targetNode", ".status.phase"),
    ),
)


def custom_resource_definition(definition: Definition) -> dict[str, Any]:
    """The CRD as JSON."""
    kind = definition.kind.__name__
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": definition.name},
        "spec": {
            "group": GROUP,
            "scope": definition.scope,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": definition.plural,
                "singular": kind.lower(),
                "shortNames": [definition.short_name],
                "categories": ["vmferry"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    **(
                        {"selectableFields": [{"jsonPath": path} for path in definition.selectable]}
                        if definition.selectable
                        else {}
                    ),
                    "additionalPrinterColumns": [column.as_json() for column in definition.columns],
                    "schema": {"openAPIV3Schema": _object_schema(definition)},
                }
            ],
        },
    }


def _object_schema(definition: Definition) -> dict[str, Any]:
    return {
        "description": " ".join((definition.kind.__doc__ or "").split()),
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural_schema(definition.spec),
            "status": structural_schema(definition.status) | {"default": NOT_LOOKED_AT},
        },
        **rules(*definition.kind.object_rules),
    }
