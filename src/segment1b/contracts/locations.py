"""Contract files: their names, reading YAML, and errors about keys and values with a hint."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from segment1b.contracts.faults import raise_machine_fault
from segment1b.contracts.texts import MAX_YAML_BYTES, parse_yaml, read_bounded
from segment1b.errors import Segment1BError, file_error

DICTIONARY = "dataset_dictionary/l1/seg_1B/layer1.1B.yaml"
STATES = "dataset_dictionary/l1/seg_1B/states.1B.yaml"
CRITERIA = "dataset_dictionary/l1/seg_1B/acceptance.1B.yaml"
SCHEMAS = "schemas/layer1"
POLICIES = "policies/l1/seg_1B"


def read_yaml(path: Path, code: str) -> dict[str, Any]:
    """Read a YAML mapping; raise `code` with the file's name when it is not one."""
    try:
        value = parse_yaml(read_bounded(path, MAX_YAML_BYTES).decode())
    except FileNotFoundError:
        raise Segment1BError(code, f"{path} does not exist", "give an existing file") from None
    except Segment1BError as error:
        raise Segment1BError(code, error.message, error.hint, path=str(path)) from None
    except (OSError, ValueError) as error:
        raise_machine_fault(error, path)
        hint = "correct the file; docs/contracts.md lists what YAML files may hold"
        raise file_error(code, path, f"is not readable YAML: {error}", hint) from None
    if not isinstance(value, dict):
        raise Segment1BError(code, f"{path} holds no mapping", "start it with 'key: value' lines")
    return value


def refuse_unknown(
    keys: Iterable[object],
    known: Iterable[str],
    code: str,
    place: str,
    what: str = "unknown key '{}'",
    **scope: Any,
) -> None:
    """Raise an error about the first key that is not known, with the nearest known one."""
    names = set(known)
    for key in keys:
        if key not in names:
            scope |= {"key": str(key)}
            raise Segment1BError(code, f"{place}: {what.format(key)}", nearest(key, names), **scope)


def first_problem(error: ValidationError) -> tuple[str, str]:
    """Return the dotted key and the message of the first problem; values are not repeated."""
    first = error.errors(include_url=False, include_input=False)[0]
    return ".".join(str(step) for step in first["loc"]), first["msg"]


def nearest(word: object, known: Iterable[str]) -> str:
    """Return a hint that names the known word nearest to `word`, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(str(word), names, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(names)}"
