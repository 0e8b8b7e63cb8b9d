"""Strict readers of JSON and YAML: bounded, UTF-8, without repeated keys, NaN or aliases."""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import IO, Any, NoReturn

import yaml

from segment1b.errors import unreadable

MAX_JSON_BYTES = 32 << 20
MAX_YAML_BYTES = 1 << 20
#: Mappings, lists and scalars of a YAML text; a node takes about a kilobyte while it is read.
MAX_YAML_EVENTS = 100_000
MAX_DEPTH = 64
#: Characters of an integer; the largest number in use, 2^64, has 20.
MAX_DIGITS = 64
_BASES = {"0o": 8, "0x": 16}
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = {None, "!", _TAG + "str"}
_YAML_1_1 = {_TAG + name for name in ("bool", "int", "float", "timestamp", "merge", "value")}
# The core schema of YAML 1.2: 010 is ten, 1:30 and 1_000 are text, 1e3 is a number.
_INT = re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z")
_FLOAT = re.compile(
    r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
)


def irregular(mode: int) -> str | None:
    """Return what is wrong with a file of that `st_mode`; None for a regular file."""
    if stat.S_ISREG(mode):
        return None
    return f"is {_KINDS.get(stat.S_IFMT(mode), 'special')}, not a regular file"


def open_regular(path: Path) -> IO[bytes]:
    """Open a regular file, or a link to one, for reading; never wait for a pipe.

    Raises:
        Segment1BError: E_INPUT_UNREADABLE for a folder, named pipe, socket or device.
        OSError: there is nothing, or it cannot be reached.
    """
    _check_regular(path, path.stat().st_mode)
    # A pipe may have taken the file's place since: without O_NONBLOCK, opening it would wait.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _check_regular(path, os.fstat(handle).st_mode)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_regular(path: Path) -> bytes:
    """Return the bytes of a regular file, or of a link to one (see `open_regular`)."""
    with open_regular(path) as file:
        return file.read()


def read_bounded(path: Path, limit: int) -> bytes:
    """Return the bytes of a regular file; ValueError when there are more than `limit`."""
    with open_regular(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"larger than {limit:,} bytes")
    return data


def parse_json(data: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: not UTF-8 (a lone surrogate counts), not JSON, a repeated key, NaN or infinity,
            an integer of more than 64 characters, nesting deeper than 64.
    """
    try:
        value = json.loads(
            data.decode(),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_int=_integer,
            parse_float=_finite,
        )
        too_deep = data.count(b"[") + data.count(b"{") > MAX_DEPTH and _is_too_deep(value)
    except RecursionError:
        too_deep = True
    if too_deep:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    if _SURROGATE.search(data):
        json.dumps(value, ensure_ascii=False).encode()
    return value


def parse_yaml(text: str) -> Any:
    """Return the value of a YAML 1.2 text: mappings, lists, strings, numbers, booleans, null.

    Raises:
        ValueError: not YAML, a repeated key, an alias, another tag, NaN or infinity, an integer of
            more than 64 characters, nesting deeper than 64, more than 100,000 nodes.
    """
    try:
        _check_events(text)
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader by inheritance
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{place}{error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ValueError(str(error).splitlines()[0]) from None


def _check_regular(path: Path, mode: int) -> None:
    if reason := irregular(mode):
        raise unreadable(path, reason, "give a regular file")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {_shown(keys[_repeated(keys)])} is repeated")
    return mapping


def _repeated(keys: Iterable[object]) -> int:
    """Return the place of the first key that occurs a second time."""
    first: dict[object, int] = {}
    return next(place for place, key in enumerate(keys) if first.setdefault(key, place) != place)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"an integer of {len(text):,} characters; the limit is {MAX_DIGITS}")
    return int(text, _BASES.get(text[:2], 10))


def _finite(text: str) -> float:
    value = math.nan if text[-1].isalpha() else float(text)  # YAML writes .inf and .nan
    if not math.isfinite(value):
        raise ValueError(f"{_shown(text)} is not a finite number")
    return value


def _is_too_deep(value: Any) -> bool:
    """Return whether lists and mappings are nested deeper than MAX_DEPTH."""
    level: list[Collection[Any]] = [[value]]
    for _ in range(MAX_DEPTH + 1):
        items = [item for nested in level for item in nested]
        level = [
            item.values() if isinstance(item, dict) else item
            for item in items
            if isinstance(item, (dict, list))
        ]
    return bool(level)


def _shown(text: object) -> str:
    shown = repr(text)
    return shown if len(shown) <= 60 else shown[:57] + "..."


# libyaml's parser where PyYAML was built with it: half a second less at every start.
class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Numbers of YAML 1.2; true and false are the only booleans, so that Norway stays NO."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping; a repeated key is refused with its line."""
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            keys = [self.construct_object(key_node, deep=True) for key_node, _ in node.value]
            place = _repeated(keys)
            raise _refused(f"key {_shown(keys[place])} is repeated", node.value[place][0])
        return mapping

    def construct_number(self, node: yaml.ScalarNode) -> float:
        """Return a whole number of bounded length, or a finite one."""
        try:
            return (_integer if node.tag == _TAG + "int" else _finite)(node.value)
        except ValueError as error:
            raise _refused(str(error), node) from None


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regex) for tag, regex in resolvers if tag not in _YAML_1_1]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_TAG + "bool", re.compile(r"(?:true|false)\Z"), list("tf"))
_Loader.add_implicit_resolver(_TAG + "int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver(_TAG + "float", _FLOAT, list("-+.0123456789"))
_Loader.add_constructor(_TAG + "int", _Loader.construct_number)
_Loader.add_constructor(_TAG + "float", _Loader.construct_number)


def _check_events(text: str) -> None:
    """Refuse what must not be composed: aliases, depth, number of nodes, tags of other types."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, _Loader)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if isinstance(event, yaml.AliasEvent):
            raise _refused("aliases (*name) are not supported: write the value again", event)
        tag = getattr(event, "tag", None)
        if tag not in _PLAIN_TAGS:
            raise _refused(f"tag {_shown(tag)} is not supported", event)
        if depth > MAX_DEPTH:
            raise _refused(f"nested deeper than {MAX_DEPTH}", event)
        if number > MAX_YAML_EVENTS:
            raise _refused(f"more than {MAX_YAML_EVENTS:,} values", event)


def _refused(problem: str, place: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)
