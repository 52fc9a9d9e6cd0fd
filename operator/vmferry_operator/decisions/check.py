"""Whether these hosts can carry out what a policy asks for; what they can't, it says."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vmferry_api.features import Feature
from vmferry_api.migrations import SourceReport, TargetReport
from vmferry_api.policies import (
    CompressionMethod,
    Encryption,
    MigrationPolicySpec,
    StartOptions,
    Technique,
)
from vmferry_api.transports import why_readable

PARALLEL_WITH_POST_COPY = (10, 1)
"""The first QEMU whose parallel connections may end in post-copy; before, the VM is lost on the target."""


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """What a policy asks for and a host, or QEMU, can't do."""

    rule: str
    """As a condition's reason."""
    field: str
    """Of the policy's spec."""
    message: str
    """The rule, the host, its version, and the way out."""
    degrades: bool = False
    """It goes on without; the message says what is done instead."""


@dataclass(frozen=True, kw_only=True)
class _Host:
    node: str
    features: frozenset[str] | None
    """What it says that it can do; None: it does not say, and nothing is concluded."""
    qemu: tuple[int, ...] | None
    """Its QEMU's version; None: not known."""
    qemu_text: str

    def lacks(self, feature: Feature) -> bool:
        return self.features is not None and feature not in self.features


def host_conflicts(
    policy: MigrationPolicySpec, source: SourceReport | None, target: TargetReport | None
) -> list[Conflict]:
    """What of the policy these two hosts can't do, by what they report of themselves.

    Args:
        policy: The policy with the migration's overrides.
        source: The source's report.
        target: The target's report.
    """
    hosts = [_host("the source", source), _host("the target", target)]
    return [
        *_post_copy_conflicts(policy, hosts),
        *_start_conflicts(policy, hosts),
        *_transport_conflicts(policy, target),
    ]


def usable(policy: MigrationPolicySpec, conflicts: list[Conflict]) -> MigrationPolicySpec:
    """The policy without what these hosts can't do and it can do without."""
    objective = policy.objective
    if objective is None or not any(each.degrades for each in conflicts):
        return policy
    allow = [technique for technique in objective.allow if technique != Technique.POST_COPY]
    return policy.replace(objective=objective.replace(allow=allow))


def in_flight(policy: MigrationPolicySpec) -> MigrationPolicySpec:
    """What a migration that runs can still do of a policy that was edited to what these hosts can't do.

    It goes on by the rest, as if the host had refused it, but for restarts: the attempt that runs would be given
    up for one that can't start.
    """
    objective = policy.objective
    if objective is None:
        return policy
    allow = [technique for technique in objective.allow if technique != Technique.AUTO_CONVERGE]
    return policy.replace(objective=objective.replace(allow=allow))


def _post_copy_conflicts(policy: MigrationPolicySpec, hosts: list[_Host]) -> Iterator[Conflict]:
    """Post-copy that is asked for in a step is refused; one that an objective merely allows is done without."""
    objective = policy.objective
    if objective is not None and Technique.POST_COPY in objective.allow:
        field, way_out, degrades = "objective.allow", "it is done without post-copy", True
    else:
        places = [
            place for place, step in enumerate(policy.steps or []) if step.switch_to_post_copy is not None
        ]
        if not places:
            return
        field = f"steps[{places[0]}].switchToPostCopy"
        way_out, degrades = "remove the step, or make it possible on the host", False
    for host in hosts:
        if host.lacks(Feature.POST_COPY):
            yield Conflict(
                rule="PostCopyNotPossible",
                field=field,
                message=f"{field}: {host.node} can't take part in post-copy: its QEMU may not use userfaultfd "
                f"(sysctl vm.unprivileged_userfaultfd=1, or rights on /dev/userfaultfd); {way_out}",
                degrades=degrades,
            )
    parallel = next((path for path, start in _starts(policy) if start.parallel_connections), None)
    for host in hosts:
        if parallel is not None and host.qemu is not None and host.qemu < PARALLEL_WITH_POST_COPY:
            yield Conflict(
                rule="ParallelExcludesPostCopy",
                field=field,
                message=f"{field}: {parallel}.parallelConnections excludes post-copy before QEMU 10.1, and "
                f"{host.node} has {host.qemu_text}; " + (way_out if degrades else "remove one of them"),
                degrades=degrades,
            )


def _start_conflicts(policy: MigrationPolicySpec, hosts: list[_Host]) -> Iterator[Conflict]:
    for path, start in _starts(policy):
        for option, feature in _needs(start):
            for host in hosts:
                if host.lacks(feature):
                    yield Conflict(
                        rule=f"{feature}NotPossible",
                        field=f"{path}.{option}",
                        message=f"{path}.{option}: {host.node} (QEMU {host.qemu_text}) can't do it "
                        f"(feature {feature}); remove it, or make it possible on the host",
                    )


def _transport_conflicts(policy: MigrationPolicySpec, target: TargetReport | None) -> Iterator[Conflict]:
    """What is to be encrypted goes by no address that leaves part of it readable; the agent refuses it, too."""
    if target is None:
        return
    readable = why_readable(connect_uri=target.connect_uri, migration_uri=target.migration_uri)
    if readable is None:
        return
    for path, start in _starts(policy):
        if start.encryption == Encryption.REQUIRED:
            yield Conflict(
                rule="EncryptedTransportNotPossible",
                field=f"{path}.encryption",
                message=f"{path}.encryption: {readable}",
            )


def _starts(policy: MigrationPolicySpec) -> Iterator[tuple[str, StartOptions]]:
    """All start options that the policy may come to want, and where they stand."""
    if policy.start is not None:
        yield "start", policy.start
    for place, step in enumerate(policy.steps or []):
        if step.restart is not None:
            yield f"steps[{place}].restart.start", step.restart.start


def _needs(start: StartOptions) -> Iterator[tuple[str, Feature]]:
    if start.parallel_connections is not None:
        yield "parallelConnections", Feature.PARALLEL
    if start.compression is not None and start.compression.method == CompressionMethod.ZLIB:
        yield "compression", Feature.ZLIB
    if start.compression is not None and start.compression.method == CompressionMethod.ZSTD:
        yield "compression", Feature.ZSTD
    if start.zero_copy:
        yield "zeroCopy", Feature.ZERO_COPY
    if start.encryption == Encryption.REQUIRED:
        yield "encryption", Feature.TLS


def _host(node: str, report: SourceReport | TargetReport | None) -> _Host:
    features = report.features if report else None
    text = (report.qemu_version if report else None) or "unknown"
    numbers = re.match(r"(\d+)\.(\d+)", text)
    return _Host(
        node=node,
        features=None if features is None else frozenset(features),
        qemu=(int(numbers[1]), int(numbers[2])) if numbers else None,
        qemu_text=text,
    )
