"""The agent's configuration: by flags, by environment variables and by a file, alike.

Each flag `--some-thing` is the variable `VMFERRY_SOME_THING` and the file's key `some-thing`. A flag counts more
than a variable, a variable more than the file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml
from typing_extensions import override

from vmferry_agent.uris import connect_uri, libvirt_uri, migration_uri
from vmferry_kube.leases import NAMESPACE
from vmferry_kube.logs import LogFormat

_PREFIX = "VMFERRY_"
_PORTS = range(65536)


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """How an agent is to run."""

    node: str
    libvirt_uri: str
    connect_uri: str
    migration_uri: str | None
    tls_destination: str | None
    measure_dirty_rate: bool
    namespace: str
    health_address: str
    health_port: int | None
    record_traces: Path | None
    log_format: LogFormat
    verbose: bool


class _Uri(click.ParamType[str]):
    name = "uri"

    def __init__(self, check: Callable[[str], str]) -> None:
        self._check = check

    @override
    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return self._check(str(value))
        except ValueError as error:
            self.fail(f"{value!r} {error}", param, ctx)


class _Port(click.ParamType[int | None]):
    """A port to listen at; None: at none."""

    name = "port"

    @override
    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value in ("", "off") or value is False:  # what `off` without quotes is in YAML
            return None
        if not str(value).isdecimal() or int(str(value)) not in _PORTS:
            self.fail(f"{value!r} must be a port from 1 to 65535, 0 (any that is free) or off", param, ctx)
        return int(str(value))


def options(command: Callable[..., object]) -> Callable[..., object]:
    """Give a command all options; they are the fields of a Configuration."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def _option(flag: str, help_: str, **words: Any) -> Callable[[Callable[..., object]], Callable[..., object]]:  # noqa: ANN401 - click's
    variable = _PREFIX + flag.partition("/")[0].removeprefix("--").replace("-", "_").upper()
    words = {"show_default": "default" in words, "metavar": words.pop("metavar", None), **words}
    return click.option(flag, help=help_, envvar=variable, show_envvar=True, **words)


def _read_file(context: click.Context, _parameter: click.Parameter, path: Path | None) -> None:
    """Take what the file gives as defaults; what is wrong with it is told with its place."""
    if path is None:
        return
    known = {option.opts[0].removeprefix("--"): option for option in context.command.params}
    del known["config"]
    content = _content(path, sorted(known))
    context.default_map = {known[key].name or key: value for key, value in content.items()}
    for key, value in content.items():
        try:
            _check(known[key], value, context)
        except click.BadParameter as error:
            raise click.UsageError(f"{path}: {key}: {error.message}") from None


def _content(path: Path, known: list[str]) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text()) or {}
    except (OSError, UnicodeError) as error:
        raise click.UsageError(f"{path}: can't be read: {error}") from None
    except yaml.YAMLError as error:
        raise click.UsageError(f"{path}: is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise click.UsageError(f"{path}: must be lines of `key: value`; the keys are {', '.join(known)}")
    for key in content:
        if key not in known:
            raise click.UsageError(f"{path}: {key}: there is no such key; there are {', '.join(known)}")
    return content


def _check(option: click.Parameter, value: object, context: click.Context) -> None:
    if isinstance(option, click.Option) and option.is_flag:
        if not isinstance(value, bool):
            raise click.BadParameter(f"{value!r} must be true or false")
    elif not isinstance(option.type, _Port) and not isinstance(value, str):
        raise click.BadParameter(f"{value!r} must be a string; put it in quotes")
    else:
        option.type.convert(value, option, context)


_OPTIONS = (
    _option(
        "--config",
        "A file of `key: value` lines (YAML); the keys are the flags' names.",
        type=click.Path(dir_okay=False, path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=_read_file,
    ),
    _option("--node", "The name of the Node object that this host is.", required=True),
    _option("--libvirt-uri", "This host's libvirt daemon.", default="qemu:///system", type=_Uri(libvirt_uri)),
    _option(
        "--connect-uri",
        "How other hosts' libvirt daemons reach this one's (peer-to-peer), such as qemu+tls://node-a/system.",
        required=True,
        type=_Uri(connect_uri),
    ),
    _option(
        "--migration-uri", "Where this host's QEMU listens, such as tcp://10.0.0.7.", type=_Uri(migration_uri)
    ),
    _option(
        "--tls-destination",
        "The name in the certificate of this host's QEMU, where it is not the host of the migration URI.",
    ),
    _option(
        "--measure-dirty-rate/--no-measure-dirty-rate",
        "Measure how fast a guest writes, by a sample of its pages, while it waits for its start.",
        default=True,
        is_flag=True,
    ),
    _option("--namespace", "Where the agents' Leases are.", default=NAMESPACE),
    _option("--health-address", "The address of /healthz, /readyz and /metrics.", default="0.0.0.0"),  # noqa: S104
    _option("--health-port", "Their port; 0: any that is free; off: none.", default=8080, type=_Port()),
    _option(
        "--record-traces",
        "A directory to record each attempt in, for `kubectl vmferry simulate`.",
        type=click.Path(file_okay=False, path_type=Path),
    ),
    _option(
        "--log-format",
        "Lines for people, or JSON.",
        default="text",
        type=click.Choice([each.value for each in LogFormat]),
        callback=lambda _context, _parameter, value: LogFormat(value),
    ),
    _option("--verbose", "Log more.", is_flag=True),
)
