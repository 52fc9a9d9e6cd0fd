"""What is written on the command line: sizes, rates and durations as in the API, and files."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Generic, TypeVar

import click
from typing_extensions import override

from vmferry_api.durations import format_duration, parse_duration
from vmferry_api.quantities import format_quantity, parse_quantity

_Value = TypeVar("_Value", int, timedelta)


class _Parsed(click.ParamType[_Value], Generic[_Value]):
    """A value that the API's own functions read and write.

    Args:
        least: The least that is taken.
        most: The most.
    """

    def __init__(
        self,
        parse: Callable[[str], _Value],
        write: Callable[[_Value], str],
        least: _Value | None,
        most: _Value | None,
    ) -> None:
        self._parse: Callable[[str], _Value] = parse
        self._write: Callable[[_Value], str] = write
        self._least: _Value | None = least
        self._most: _Value | None = most

    @override
    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> _Value:
        try:
            read = self._parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if self._least is not None and read < self._least:
            self.fail(f"{value} is less than {self._write(self._least)}", param, ctx)
        if self._most is not None and read > self._most:
            self.fail(f"{value} is more than {self._write(self._most)}", param, ctx)
        return read


class Quantity(_Parsed[int]):
    """A size in bytes or a rate in bytes per second, such as 500Mi."""

    name = "quantity"

    def __init__(self, *, least: int | None = None, most: int | None = None) -> None:
        super().__init__(parse_quantity, format_quantity, least, most)


class Duration(_Parsed[timedelta]):
    """A duration such as 10m."""

    name = "duration"

    def __init__(self, *, least: timedelta | None = None, most: timedelta | None = None) -> None:
        super().__init__(parse_duration, format_duration, least, most)


@dataclass(frozen=True, kw_only=True)
class Contents:
    """A file that was read."""

    name: str
    data: bytes
    in_directory: bool = False
    """It was not named itself, but found in a directory that was."""

    def text(self) -> str:
        """Its text.

        Raises:
            click.ClickException: It is none.
        """
        try:
            return self.data.decode()
        except UnicodeDecodeError as error:
            raise click.ClickException(f"{self.name}: not UTF-8 text: {error}") from error


class ReadFile(click.ParamType[Contents]):
    """A file to read; - is the standard input.

    Args:
        failure: What is raised where it can't be read.
    """

    name = "file"

    def __init__(self, failure: type[click.ClickException] = click.ClickException) -> None:
        self._failure = failure

    @override
    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Contents:
        """Read it.

        Raises:
            click.ClickException: It can't be read.
        """
        name = str(value)
        if name == "-":
            return Contents(name="<stdin>", data=sys.stdin.buffer.read())
        try:
            return Contents(name=name, data=Path(name).read_bytes())
        except (OSError, ValueError) as error:
            raise self._failure(f"{name}: {getattr(error, 'strerror', None) or error}") from error


_MANIFESTS = {".yaml", ".yml", ".json"}


class ReadFiles(click.ParamType[Sequence[Contents]]):
    """A file to read, or a directory with all manifests in it and below; - is the standard input."""

    name = "file"

    @override
    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Sequence[Contents]:
        """Read them.

        Raises:
            click.ClickException: One can't be read, or there is none.
        """
        directory = Path(str(value))
        if not directory.is_dir():
            return [ReadFile().convert(value, param, ctx)]
        files = sorted(each for each in directory.rglob("*") if each.suffix in _MANIFESTS and each.is_file())
        if not files:
            raise click.ClickException(f"{value}: there is no {', '.join(sorted(_MANIFESTS))} in it")
        return [replace(ReadFile().convert(each, param, ctx), in_directory=True) for each in files]
