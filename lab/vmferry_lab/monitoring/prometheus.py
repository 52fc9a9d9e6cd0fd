"""A Prometheus that scrapes the operator and the agents of a lab."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from vmferry_lab import processes
from vmferry_lab.components import OPERATOR_NAME, agent_name
from vmferry_lab.controlplane.control_plane import LOOPBACK
from vmferry_lab.directories import MANIFESTS
from vmferry_lab.errors import LabError
from vmferry_lab.lab import Lab
from vmferry_lab.monitoring.binaries import find_or_unpack
from vmferry_lab.monitoring.rules import plain_rules
from vmferry_lab.ports import free_ports
from vmferry_lab.until import until

NAME = "prometheus"
RULES = MANIFESTS / "monitoring" / "rules.yaml"
EVERY = "1s"
"""Between two scrapes, and two evaluations of the rules: migrations in the lab take seconds."""
_START_TIMEOUT = 60.0
_ASK_TIMEOUT = 10.0


class Prometheus:
    """One per lab, on loopback, with the rules of manifests/monitoring; it ends with the lab.

    Where operator and agents serve is looked up when it starts: after a restart of theirs start it anew.

    Args:
        lab: The lab; it is up, with vmferry.
    """

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    @property
    def url(self) -> str:
        """Where it serves.

        Raises:
            LabError: It was not started.
        """
        record = self._directory / "url"
        if not record.exists():
            raise LabError(f"no Prometheus was started in {self._lab.directory}")
        return record.read_text()

    def start(self, say: Callable[[str], None]) -> None:
        """Start it anew, and wait until it has scraped all of them.

        Raises:
            LabError: It does not start, or a component does not serve.
        """
        binaries = find_or_unpack(say)
        self.stop()
        directory = self._directory
        directory.mkdir(exist_ok=True)
        (directory / "rules.yaml").write_text(plain_rules(RULES))
        (directory / "prometheus.yaml").write_text(yaml.safe_dump(self._configuration(), sort_keys=False))
        (port,) = free_ports(1)
        address = f"{LOOPBACK}:{port}"
        command = [str(binaries.prometheus), f"--config.file={directory / 'prometheus.yaml'}"]
        command += [f"--storage.tsdb.path={directory / 'data'}", f"--web.listen-address={address}"]
        processes.start(NAME, command, lab=self._lab.directory, log=self._log)
        (directory / "url").write_text(f"http://{address}")
        try:
            until("Prometheus to have scraped all", self._has_all, timeout=_START_TIMEOUT)
        except TimeoutError as error:
            raise LabError(f"{error}\n{processes.tail(self._log)}") from error

    def stop(self) -> None:
        """Stop it; its data stays until the lab goes."""
        processes.stop(processes.of_component(self._lab.directory, NAME))

    def query(self, expression: str) -> Sequence[dict[str, Any]]:
        """The series that an expression comes to now.

        Raises:
            LabError: It is refused, or there is no answer.
        """
        found: dict[str, Any] = self._ask("query", {"query": expression})["data"]
        if found["resultType"] == "scalar":
            return [{"metric": {}, "value": found["result"]}]
        return list(found["result"])

    def rules(self) -> Sequence[dict[str, Any]]:
        """All rules, with their health."""
        groups = self._ask("rules", {})["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    @property
    def _directory(self) -> Path:
        return self._lab.directory / "monitoring"

    @property
    def _log(self) -> Path:
        return self._lab.directory / "logs" / f"{NAME}.log"

    def _configuration(self) -> dict[str, Any]:
        """As the PodMonitors have it: the same jobs, and the agents' nodes."""
        components = self._lab.components
        operator = [{"targets": [components.health(OPERATOR_NAME)]}]
        agents = [
            {"targets": [components.health(agent_name(host.name))], "labels": {"node": host.name}}
            for host in self._lab.hosts
        ]
        return {
            "global": {"scrape_interval": EVERY, "scrape_timeout": EVERY, "evaluation_interval": EVERY},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [
                {"job_name": "vmferry-operator", "static_configs": operator},
                {"job_name": "vmferry-agent", "static_configs": agents},
            ],
        }

    def _has_all(self) -> bool:
        try:
            up = self.query("up == 1")
        except LabError:
            return False
        return len(up) == 1 + len(self._lab.hosts)

    def _ask(self, what: str, words: dict[str, str]) -> dict[str, Any]:
        url = f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(words)}"
        try:
            with _open(url) as answer:
                found: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            raise LabError(f"Prometheus refuses {words}: {error.read().decode()[:500]}") from error
        except OSError as error:
            raise LabError(f"Prometheus does not answer: {error}") from error
        return found


def _open(url: str) -> Any:  # noqa: ANN401 - urllib's
    """Past any proxy: it is on this machine."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=_ASK_TIMEOUT)
