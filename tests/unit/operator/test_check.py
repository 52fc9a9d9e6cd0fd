"""What a policy asks for that these hosts, or QEMU, can't do; and what is done about it."""

import pytest
from migrations_in_words import policy

from vmferry_api.features import Feature
from vmferry_api.migrations import SourceReport, TargetReport
from vmferry_api.policies import MigrationPolicySpec, Technique
from vmferry_operator.decisions.check import (
    host_conflicts,
    usable,
)

ALL = frozenset(Feature)
POST_COPY = {"after": {"stalled": "10s"}, "switchToPostCopy": {}}
RESTART_PARALLEL = {"after": {"elapsed": "5m"}, "restart": {"start": {"parallelConnections": 4}}}


def reports(
    *,
    source: frozenset[Feature] | None = ALL,
    target: frozenset[Feature] | None = ALL,
    source_qemu: str | None = "10.1.0",
    target_qemu: str | None = "10.1.0",
) -> tuple[SourceReport, TargetReport]:
    return (
        SourceReport(features=None if source is None else sorted(source), qemu_version=source_qemu),
        TargetReport(
            ready=True, features=None if target is None else sorted(target), qemu_version=target_qemu
        ),
    )


def rules(spec: dict[str, object], **hosts: object) -> list[tuple[str, bool]]:
    source, target = reports(**hosts)
    return [(each.rule, each.degrades) for each in host_conflicts(policy(**spec).spec, source, target)]


@pytest.mark.parametrize(
    ("spec", "feature", "rule"),
    [
        ({"steps": [POST_COPY]}, Feature.POST_COPY, "PostCopyNotPossible"),
        ({"start": {"parallelConnections": 4}}, Feature.PARALLEL, "ParallelConnectionsNotPossible"),
        (
            {"start": {"parallelConnections": 4, "compression": {"method": "Zstd"}}},
            Feature.ZSTD,
            "ZstdNotPossible",
        ),
        (
            {"start": {"parallelConnections": 4, "compression": {"method": "Zlib"}}},
            Feature.ZLIB,
            "ZlibNotPossible",
        ),
        ({"start": {"parallelConnections": 4, "zeroCopy": True}}, Feature.ZERO_COPY, "ZeroCopyNotPossible"),
        ({"start": {"encryption": "Required"}}, Feature.TLS, "TLSNotPossible"),
        ({"steps": [RESTART_PARALLEL]}, Feature.PARALLEL, "ParallelConnectionsNotPossible"),
    ],
)
def test_what_one_of_the_hosts_lacks_is_refused_and_all_is_well_where_both_have_it(
    spec: dict[str, object], feature: Feature, rule: str
) -> None:
    assert rules(spec) == []
    assert rules(spec, source=ALL - {feature}) == [(rule, False)]
    assert rules(spec, target=ALL - {feature}) == [(rule, False)]


def test_of_a_host_that_does_not_say_what_it_can_do_nothing_is_concluded() -> None:
    assert rules({"steps": [POST_COPY]}, source=None, target=None) == []
    assert host_conflicts(policy(steps=[POST_COPY]).spec, None, None) == []


@pytest.mark.parametrize(
    ("qemu", "refused"),
    [("7.2.22", True), ("10.0.9", True), ("10.1.0", False), ("11.0", False), (None, False)],
)
def test_parallel_connections_with_post_copy_need_qemu_10_1(qemu: str | None, refused: bool) -> None:
    spec = {"start": {"parallelConnections": 4}, "steps": [POST_COPY]}
    found = rules(spec, target_qemu=qemu)
    assert found == ([("ParallelExcludesPostCopy", False)] if refused else [])


def test_a_restart_s_parallel_connections_count_as_well() -> None:
    assert rules({"steps": [POST_COPY, RESTART_PARALLEL]}, source_qemu="7.2.0") == [
        ("ParallelExcludesPostCopy", False)
    ]


def test_a_refusal_names_the_field_the_host_its_version_and_the_way_out() -> None:
    spec = policy(start={"parallelConnections": 4}, steps=[POST_COPY]).spec
    (found,) = host_conflicts(spec, *reports(source_qemu="7.2.22"))
    assert found.field == "steps[0].switchToPostCopy"
    for words in (
        "start.parallelConnections",
        "before QEMU 10.1",
        "the source has 7.2.22",
        "remove one of them",
    ):
        assert words in found.message


@pytest.mark.parametrize(
    "spec",
    [
        {"start": {"encryption": "Required"}},
        {"steps": [{"after": {"elapsed": "5m"}, "restart": {"start": {"encryption": "Required"}}}]},
    ],
    ids=["start", "restart"],
)
def test_encryption_asks_for_an_encrypted_way_between_the_daemons_as_well(spec: dict[str, object]) -> None:
    source, target = reports()
    plain = target.replace(connect_uri="qemu+tcp://b/system")
    (found,) = host_conflicts(policy(**spec).spec, source, plain)
    assert (found.rule, found.degrades) == ("EncryptedTransportNotPossible", False)
    assert found.message.startswith(f"{found.field}: the daemons would talk by qemu+tcp://b/system")
    assert "--connect-uri of qemu+tls://HOST/system" in found.message
    assert (
        host_conflicts(policy(**spec).spec, source, target.replace(connect_uri="qemu+tls://b/system")) == []
    )
    assert host_conflicts(policy(start={"encryption": "Disabled"}).spec, source, plain) == []


def test_an_objective_that_allows_post_copy_goes_without_it_where_a_host_can_t() -> None:
    spec = policy(objective={"maxDowntime": "1s", "allow": ["PostCopy", "Suspend"]}).spec
    conflicts = host_conflicts(spec, *reports(target=ALL - {Feature.POST_COPY}))
    assert [(each.rule, each.degrades) for each in conflicts] == [("PostCopyNotPossible", True)]
    assert "it is done without post-copy" in conflicts[0].message
    left = usable(spec, conflicts).objective
    assert left is not None
    assert left.allow == [Technique.SUSPEND]


def test_without_a_conflict_the_policy_is_used_as_it_is() -> None:
    spec = policy(objective={"maxDowntime": "1s", "allow": ["PostCopy"]}).spec
    assert usable(spec, host_conflicts(spec, *reports())) is spec


CARRIED_OUT = {
    "description",
    "globalDefault",
    "selector",
    "priority",
    "concurrency",
    "bandwidth",
    "queuePriority",
    "start",
    "restartOnEdit",
    "maxDowntime",
    "agentDowntimeRamp",
    "stallingLimit",
    "progressTimeout",
    "timeout",
    "postCopyRecovery",
    "minStepInterval",
    "steps",
    "objective",
    "retry",
}


def test_every_field_of_a_policy_is_carried_out() -> None:
    """A new field belongs into CARRIED_OUT once something acts on it."""
    assert {field.alias or name for name, field in MigrationPolicySpec.model_fields.items()} == CARRIED_OUT
