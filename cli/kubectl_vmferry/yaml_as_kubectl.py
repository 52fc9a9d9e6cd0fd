"""YAML as kubectl reads it (go-yaml), not quite as PyYAML does: `1e9` and `0o10` are numbers, 1:30 is none."""

import re
from collections import Counter
from collections.abc import Hashable, Iterator
from typing import Any

import yaml
from typing_extensions import override

_INT, _FLOAT, _TIMESTAMP = (f"tag:yaml.org,2002:{each}" for each in ("int", "float", "timestamp"))
_NUMBER = re.compile(
    r"^[-+]?(0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+"
    r"|([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?)$"
)
_OCTAL = re.compile(r"[-+]?0[0-7]+")
_MOST_EXACT = 1e21
"""Whole numbers below it are written without an exponent in JSON by Go, so that they are integers."""


def load_all(text: str) -> Iterator[Any]:
    """The documents of a text.

    Raises:
        yaml.YAMLError: It is no YAML, or has a key twice.
    """
    return yaml.load_all(text, _Loader)


class _Loader(yaml.SafeLoader):
    """As strict as kubectl: no key twice in a mapping."""

    @override
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        twice = [key for key, times in Counter(keys).items() if times > 1]
        if twice:
            raise yaml.constructor.ConstructorError(
                "while reading a mapping",
                node.start_mark,
                f"found twice: {', '.join(twice)}",
                node.start_mark,
            )
        return super().construct_mapping(node, deep)


def _number(loader: yaml.SafeLoader, node: yaml.Node) -> int | float:
    """A number; one that is whole is an integer, however it is written."""
    written = str(loader.construct_scalar(node))  # type: ignore[arg-type]
    text = written.replace("_", "")
    if not _NUMBER.match(written):
        return loader.construct_yaml_float(node)  # type: ignore[arg-type]
    if _OCTAL.fullmatch(text):
        return int(text, 8)
    if re.match("[-+]?0[xXoObB]", text):
        return int(text, 0)
    number = float(text)
    if not re.search("[.eE]", text):
        return int(text)
    return int(number) if number.is_integer() and abs(number) < _MOST_EXACT else number


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in {_INT, _TIMESTAMP}]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _resolvers in _Loader.yaml_implicit_resolvers.values():
    # PyYAML's takes 1:30.5 for a number; .inf and .nan are for it alone
    _resolvers[:] = [
        (tag, re.compile(r"^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$") if tag == _FLOAT else pattern)
        for tag, pattern in _resolvers
    ]
_Loader.add_implicit_resolver(_INT, _NUMBER, list("-+.0123456789"))
_Loader.add_constructor(_INT, _number)
_Loader.add_constructor(_FLOAT, _number)
