"""What a user of kubectl sees of the API."""

import pytest

from vmferry_lab.kubectl import Kubectl, KubectlError
from vmferry_lab.until import until


@pytest.fixture(scope="module")
def kubectl(control_plane):
    made = Kubectl(control_plane.kubeconfig())

    def explains():
        try:
            return made.run("explain", "vmmig") and made.run("explain", "migpol")
        except KubectlError:
            return False

    until("the schemas of the CRDs to be published", explains, timeout=60)  # a moment after they can be used
    return made


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("migrationpolicy.spec.steps", "What to do when the migration does not converge, in order"),
        ("migrationpolicy.spec.steps.after.stalled", "MigrationStalling has been True for so long"),
        ("migpol.spec.stallingLimit", "Default: 10s"),
        ("migpol.spec.objective.allow", "PostCopy: run the guest on the target"),
        ("migpol.spec.objective.otherwise", "KeepTrying: go on until the VM has moved or is cancelled"),
        ("vmmig.spec.overrides.maxDowntime", "With an objective: of objective.maxDowntime"),
        ("vmmigration.spec.cancel", "the VM stays on its source"),
        ("vmmig.status.progress.neededDowntime", "How long the guest would stop if it switched over now"),
    ],
)
def test_explain_explains(kubectl, path, says):
    assert says in " ".join(kubectl.run("explain", path).split())


def test_short_names_and_the_category_work(kubectl):
    assert "minimal-downtime" in kubectl.run("get", "migpol")
    assert "minimal-downtime" in kubectl.run("get", "vmferry")


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ("migpol", ["NAME", "DEFAULT", "PRIORITY", "ACCEPTED", "ACTIVE", "AGE"]),
        (
            "vmmig",
            [
                "NAME",
                "VM",
                "SOURCE",
                "TARGET",
                "POLICY",
                "PHASE",
                "REASON",
                "PROGRESS",
                "STALLING",
                "DOWNTIME",
                "AGE",
            ],
        ),
    ],
)
def test_get_shows_the_columns_that_matter(kubectl, kind, columns, migration):
    header = kubectl.run("get", kind).splitlines()[0].split()
    assert [column for column in header if column in columns] == columns


@pytest.mark.parametrize("preset", ["minimal-downtime", "post-copy", "suspend-workload-if-needed"])
def test_each_preset_says_for_whom_it_is(kubectl, preset):
    assert kubectl.run("get", "migpol", preset, "-o", "jsonpath={.spec.description}").startswith("For ")
