"""`kubectl vmferry policy lint`: what is wrong with policies in files, without a cluster."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import click

from kubectl_vmferry.failures import NEGATIVE
from kubectl_vmferry.options import output_option
from kubectl_vmferry.output.objects import show_document
from kubectl_vmferry.parameters import Contents, ReadFiles
from kubectl_vmferry.policy_files import Examined, PolicyFileError, examine
from kubectl_vmferry.policy_warnings import warnings

_EXAMPLES = """\b
Examples:
  kubectl vmferry policy lint manifests/policies
  kustomize build . | kubectl vmferry policy lint -
\b
Exit codes:
  0  the API server would take them all
  1  it would refuse one; with --strict: or there is a warning
"""


_KIND = "MigrationPolicy"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something about a policy, or about a file."""

    file: str
    policy: str
    level: str
    message: str


@click.command(
    "lint", short_help="Tell what the API server would refuse, and what is doubtful.", epilog=_EXAMPLES
)
@click.argument("given", type=ReadFiles(), nargs=-1, required=True, metavar="FILE_OR_DIRECTORY...")
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@output_option("json", "yaml")
@click.pass_context
def lint_command(
    context: click.Context, /, *, given: Sequence[Sequence[Contents]], strict: bool, output: str | None
) -> None:
    """Tell what the API server would refuse of the MigrationPolicies in files, and what is suspicious.

    Checked are the schema, its rules, what QEMU can't combine, and steps that nothing could reach. Other objects
    in the files are passed over; - is the standard input. Of a directory all *.yaml, *.yml and
    *.json in it and below are looked at.
    """
    findings = lint([file for files in given for file in files])
    if output is not None:
        show_document([asdict(each) for each in findings], output)
    else:
        for each in findings:
            subject = f"{each.file}: {each.policy}" if each.policy else each.file
            click.echo(
                f"{subject}: {each.level}: {each.message}" if each.message else f"{subject}: {each.level}"
            )
    bad = {"error", "warning"} if strict else {"error"}
    if any(each.level in bad for each in findings):
        context.exit(NEGATIVE)


def lint(files: Sequence[Contents]) -> list[Finding]:
    """What is found in files, one after the other."""
    examined: list[tuple[str, Examined]] = []
    findings = []
    for file in files:
        try:
            found = examine(file.name, file.text())
        except PolicyFileError as error:
            message = str(error).removeprefix(f"{file.name}: ")
            if file.in_directory and _KIND not in file.text():
                findings.append(Finding(file=file.name, policy="", level="passed over", message=message))
                continue
            findings.append(Finding(file=file.name, policy="", level="error", message=message))
            continue
        examined += [(file.name, each) for each in found]
        if not found:
            findings.append(
                Finding(file=file.name, policy="", level="passed over", message="no MigrationPolicy")
            )
    if not examined and not any(each.level == "error" for each in findings):
        findings = [
            Finding(file=each.file, policy="", level="error", message="there is no MigrationPolicy in it")
            for each in findings
        ]
    return [*findings, *_of_policies(examined)]


def _of_policies(examined: Sequence[tuple[str, Examined]]) -> Iterator[Finding]:
    names = Counter(each.name for _, each in examined)
    good = [each.policy for _, each in examined if each.policy is not None]
    for file, each in examined:
        told = [("error", problem.replace("Value error, ", "")) for problem in each.problems]
        if each.policy is not None:
            told += [("warning", text) for text in warnings(each.policy, good)]
        if names[each.name] > 1 and each.name:
            told.append(("warning", "metadata.name: another policy in these files has this name, too"))
        for level, message in told or [("ok", "")]:
            yield Finding(file=file, policy=each.name, level=level, message=message)
