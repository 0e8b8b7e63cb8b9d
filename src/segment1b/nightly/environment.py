"""Environment variables in the strings of a configuration: `${NAME}`, `${NAME:-default}`, `$$`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from segment1b.contracts.locations import nearest
from segment1b.errors import Segment1BError

_REFERENCE = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)(:-([^{}]*))?\}|(\{))")


def substitute(value: Any, environment: Mapping[str, str], place: str) -> Any:
    """Return a YAML value with the references in its strings replaced; keys stay as they are.

    `${NAME}` is the variable's value, `${NAME:-default}` the default when the variable is unset
    or empty, `$$` a dollar; any other dollar stays. Replacements are not searched for references.

    Raises:
        Segment1BError: E_USAGE, naming the place, for an unset variable or an incomplete `${`.
    """
    if isinstance(value, dict):
        return {
            key: substitute(item, environment, f"{place}, key {key}") for key, item in value.items()
        }
    if isinstance(value, list):
        return [substitute(item, environment, place) for item in value]
    if isinstance(value, str):
        return _REFERENCE.sub(lambda match: _replacement(match, environment, place), value)
    return value


def _replacement(match: re.Match[str], environment: Mapping[str, str], place: str) -> str:
    dollar, name, has_default, default, broken = match.groups()
    if dollar:
        return "$"
    if broken:
        what = f"{place}: '${{' without a name and '}}' after it"
        raise Segment1BError("E_USAGE", what, "write ${NAME}, ${NAME:-default}, or $$ for a dollar")
    if has_default:
        return environment.get(name) or default
    if name not in environment:
        near = nearest(name, environment)
        # The names of all variables do not help, and may be secret.
        also = f"; {near}" if near.startswith("did you mean") else ""
        what = f"{place}: the environment variable {name} is not set"
        hint = f"set it, or write ${{{name}:-default}}{also}"
        raise Segment1BError("E_USAGE", what, hint, variable=name)
    return environment[name]
