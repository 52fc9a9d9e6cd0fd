"""kubectl, the pinned one of the Python environment."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmferry_lab.controlplane.kubeconfigs import client_environment
from vmferry_lab.errors import LabError

TIMEOUT = 60.0


class KubectlError(LabError):
    """kubectl refused; the text is what it said."""


def kubectl_path() -> Path:
    """The program.

    Raises:
        LabError: It is not installed beside this Python.
    """
    path = Path(sys.executable).parent / "kubectl"
    if not path.exists():
        raise LabError(f"{path} is missing; install vmferry with the extra `lab`")
    return path


@dataclass(frozen=True)
class Kubectl:
    """kubectl for one user.

    Args:
        kubeconfig: The user's.
    """

    kubeconfig: Path

    def run(self, *words: str, stdin: str | None = None, timeout: float = TIMEOUT) -> str:
        """What it prints.

        Args:
            words: Its arguments.
            stdin: What it reads.
            timeout: Seconds that it may take.

        Raises:
            KubectlError: It failed, or took too long.
        """
        try:
            done = subprocess.run(
                [str(kubectl_path()), *words],
                input=stdin,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
                env=client_environment(self.kubeconfig),
            )
        except subprocess.TimeoutExpired as error:
            raise KubectlError(f"kubectl {' '.join(words)}: no answer within {timeout:g} s") from error
        if done.returncode != 0:
            raise KubectlError(done.stderr.strip())
        return done.stdout

    def apply(self, *manifests: dict[str, Any]) -> str:
        """Apply objects, as `kubectl apply -f` does."""
        documents = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        return self.run("apply", "-f", "-", stdin=json.dumps(documents))

    def is_as_wanted(self, *words: str, stdin: str | None = None) -> bool:
        """Whether `kubectl diff --server-side` of manifests finds nothing.

        It also finds what others write between its two looks: ask again.

        Raises:
            KubectlError: It can't tell.
        """
        try:
            self.run("diff", "--server-side", *words, stdin=stdin)
        except KubectlError as error:
            if str(error) != "exit status 1":
                raise
            return False
        return True

    def get(self, kind: str, name: str, *, namespace: str = "default") -> dict[str, Any]:
        """One object."""
        found: dict[str, Any] = json.loads(self.run("get", kind, name, "-n", namespace, "-o", "json"))
        return found
