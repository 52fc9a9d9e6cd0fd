"""What the hosts tell of themselves, and how they got on with each other, by what migrations report."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kubectl_vmferry.diagnosis.findings import Finding, error, note, ok, warning
from kubectl_vmferry.views.figures import rate
from kubectl_vmferry.views.standing import SOMEBODY_IS_AWAY, name, reason, sentence
from vmferry_api.features import Feature
from vmferry_api.migrations import Phase, SourceReport, TargetReport, VMMigration
from vmferry_api.policies import Encryption, MigrationPolicy
from vmferry_operator.decisions.parameters import allows_post_copy

_USERFAULTFD = (
    "on the host: sysctl vm.unprivileged_userfaultfd=1, or give QEMU's user rights on /dev/userfaultfd (QEMU 8.1 "
    "and newer), or clear_emulator_capabilities = 0 in qemu.conf"
)
_TLS = "on the host: put QEMU's certificates where qemu.conf looks (migrate_tls_x509_cert_dir)"


@dataclass(frozen=True, kw_only=True)
class _Ability:
    """Something that a policy may ask of hosts."""

    feature: Feature
    has: str
    lacks: str
    cure: str


_POST_COPY = _Ability(
    feature=Feature.POST_COPY,
    has="userfaultfd: QEMU may use it, so that it can take part in post-copy",
    lacks="userfaultfd: QEMU may not use it: no post-copy",
    cure=_USERFAULTFD,
)
_ENCRYPTION = _Ability(
    feature=Feature.TLS,
    has="QEMU has certificates for an encrypted stream",
    lacks="QEMU has no certificates: no encrypted stream",
    cure=_TLS,
)


@dataclass(frozen=True, kw_only=True)
class _Host:
    node: str
    report: SourceReport | TargetReport
    by: VMMigration


def hosts(migrations: Sequence[VMMigration], policies: Sequence[MigrationPolicy]) -> Iterator[Finding]:
    """What each host can do, by its newest report."""
    known = _known(migrations)
    if not known:
        yield note(
            "hosts", "nothing is known of them yet: no migration has asked", "kubectl vmferry migrate VM …"
        )
        return
    post_copy = [each.metadata.name for each in policies if allows_post_copy(each.spec)]
    encrypted = [each.metadata.name for each in policies if _requires_encryption(each)]
    for host in known:
        subject, report = f"host {host.node}", host.report
        yield ok(subject, f"libvirt {report.libvirt_version or '?'}, QEMU {report.qemu_version or '?'}")
        if report.features is None:
            continue
        yield _feature(subject, report.features, _POST_COPY, post_copy)
        yield _feature(subject, report.features, _ENCRYPTION, encrypted)


def _known(migrations: Sequence[VMMigration]) -> list[_Host]:
    found: dict[str, _Host] = {}
    for each in sorted(migrations, key=lambda one: str(one.metadata.creation_timestamp)):
        for node, report in (
            (each.spec.source_node, each.status.source),
            (each.spec.target_node, each.status.target),
        ):
            if report is not None and report.libvirt_version is not None:
                found[node] = _Host(node=node, report=report, by=each)
    return [found[node] for node in sorted(found)]


def _feature(
    subject: str, features: Sequence[str], ability: _Ability, asked_for_by: Sequence[str]
) -> Finding:
    if ability.feature in features:
        return ok(subject, ability.has)
    if asked_for_by:
        by = ", ".join(sorted(asked_for_by))
        return warning(subject, f"{ability.lacks}; it is asked for by {by}", ability.cure)
    return note(subject, f"{ability.lacks}; no policy asks for it", ability.cure)


def _requires_encryption(policy: MigrationPolicy) -> bool:
    starts = [policy.spec.start, *(each.restart.start for each in policy.spec.steps or [] if each.restart)]
    return any(each is not None and each.encryption == Encryption.REQUIRED for each in starts)


def troubles(migrations: Sequence[VMMigration]) -> Iterator[Finding]:
    """What is in the way of migrations that are not over, in the words of agents and operator."""
    for each in migrations:
        if each.status.is_over:
            continue
        subject, cure = f"migration {name(each)}", f"kubectl vmferry describe {_place(each)}"
        blind = list(_blind(each))
        if reason(each) in SOMEBODY_IS_AWAY:
            yield error(subject, f"{reason(each)}: {sentence(each)}", cure)
        elif blind:
            yield error(subject, "; ".join(blind), cure)
        else:
            reports = (each.status.source, each.status.target)
            said = [report.message for report in reports if report is not None and report.message]
            if said:
                yield warning(subject, "; ".join(said), cure)


def _blind(migration: VMMigration) -> Iterator[str]:
    """The hosts whose agents can't ask their libvirt."""
    spec, status = migration.spec, migration.status
    for node, report in ((spec.source_node, status.source), (spec.target_node, status.target)):
        if report is not None and report.unreachable:
            yield f"the agent of {node} can't ask its libvirt: {report.message or 'it does not answer'}"


def _place(migration: VMMigration) -> str:
    return f"-n {migration.metadata.namespace or 'default'} {migration.metadata.name}"


def links(migrations: Sequence[VMMigration]) -> Iterator[Finding]:
    """Whether libvirt gets from host to host, by the newest migration that tells each way.

    One tells it over which memory has flowed, or that has failed for good.
    """
    newest: dict[tuple[str, str], Finding] = {}
    for each in sorted(migrations, key=lambda one: str(one.metadata.creation_timestamp)):
        way = each.spec.source_node, each.spec.target_node
        told = _link(" → ".join(way), each)
        if told is not None:
            newest[way] = told
    if not newest:
        yield note("libvirt between hosts", "not known: nothing has moved yet")
    yield from (newest[way] for way in sorted(newest))


def _link(subject: str, migration: VMMigration) -> Finding | None:
    status, progress = migration.status, migration.status.progress
    failed = status.attempts[-1].error if status.attempts else None
    if failed is not None and status.phase == Phase.FAILED and reason(migration) == "MigrationFailed":
        return warning(
            subject,
            f"{name(migration)} failed: {failed}",
            f"kubectl vmferry describe {_place(migration)}; can the hosts reach each other's libvirt and QEMU?",
        )
    if progress is not None and progress.bandwidth:
        return ok(
            subject, f"libvirt has connected, memory flowed at {rate(progress.bandwidth)} ({name(migration)})"
        )
    if status.phase == Phase.SUCCEEDED:
        return ok(subject, f"libvirt has connected ({name(migration)}: {status.phase})")
    return None
