"""Asking a process for its health and metrics, where its log says that they are."""

import http.client
import re
from pathlib import Path

_PATIENCE = 30.0


def ask(log: Path, path: str) -> tuple[int, str]:
    """Status and text of the answer of the process that the log's last such line is of."""
    address, port = re.findall(r"health and metrics at http://([\d.]+):(\d+)", log.read_text())[-1]
    connection = http.client.HTTPConnection(address, int(port), timeout=_PATIENCE)
    connection.request("GET", path)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text
