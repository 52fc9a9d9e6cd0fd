"""A process' configuration: by flags, by environment variables and by a file, alike.

Each flag `--some-thing` is the variable `VMFERRY_SOME_THING` and the file's key `some-thing`. A flag counts more
than a variable, a variable more than the file.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import yaml
from typing_extensions import override

from vmferry_kube.logs import LogFormat

Option = Callable[[Callable[..., object]], Callable[..., object]]
"""Gives a command one more option."""

_PREFIX = "VMFERRY_"
_PORTS = range(65536)


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


def option(flag: str, help_: str, **words: Any) -> Option:  # noqa: ANN401 - click's
    """One option that flag, variable and file can give.

    Args:
        flag: Such as `--some-thing`, or `--some-thing/--no-some-thing`.
        help_: What it means.
        words: click's.
    """
    variable = _PREFIX + flag.partition("/")[0].removeprefix("--").replace("-", "_").upper()
    words = {"show_default": _shown(flag, words), "metavar": words.pop("metavar", None), **words}
    return click.option(flag, help=help_, envvar=variable, show_envvar=True, **words)


def _shown(flag: str, words: Mapping[str, object]) -> bool | str:
    """Whether the help tells the default, or in which words: click would say by what a flag is switched on."""
    if "/" in flag:
        return "on" if words["default"] else "off"
    return "default" in words


def configured_by(*several: Option) -> Option:
    """Give a command these options, and a file that gives them."""

    def give(command: Callable[..., object]) -> Callable[..., object]:
        for each in reversed((_FILE, *several)):
            command = each(command)
        return command

    return give


def health_options(port: int) -> tuple[Option, ...]:
    """Where probes and metrics are served, at this port by default."""
    return (
        option("--health-address", "The address of /healthz, /readyz and /metrics.", default="0.0.0.0"),  # noqa: S104
        option("--health-port", "Their port; 0: any that is free; off: none.", default=port, type=_Port()),
    )


def _read_file(context: click.Context, _parameter: click.Parameter, path: Path | None) -> None:
    """Take what the file gives as defaults; what is wrong with it is told with its place."""
    if path is None:
        return
    known = {each.opts[0].removeprefix("--"): each for each in context.command.params}
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


def _check(parameter: click.Parameter, value: object, context: click.Context) -> None:
    if isinstance(parameter, click.Option) and parameter.is_flag:
        if not isinstance(value, bool):
            raise click.BadParameter(f"{value!r} must be true or false")
    elif not isinstance(parameter.type, _Port) and not isinstance(value, str):
        raise click.BadParameter(f"{value!r} must be a string; put it in quotes")
    else:
        parameter.type.convert(value, parameter, context)


_FILE = option(
    "--config",
    "A file of `key: value` lines (YAML); the keys are the flags' names.",
    type=click.Path(dir_okay=False, path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=_read_file,
)

LOG_OPTIONS = (
    option(
        "--log-format",
        "Lines for people, or JSON.",
        default="text",
        type=click.Choice([each.value for each in LogFormat]),
        callback=lambda _context, _parameter, value: LogFormat(value),
    ),
    option("--verbose", "Log more.", is_flag=True),
)
"""How the process logs."""
