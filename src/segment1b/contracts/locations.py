"""Where the contract files lie: in the wheel beside this module, in a checkout at its top."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from segment1b.errors import Segment1BError

DICTIONARY = "dataset_dictionary/l1/seg_1B/layer1.1B.yaml"
SCHEMAS = "schemas/layer1"
POLICIES = "policies/l1/seg_1B"


def contracts_root() -> Path:
    """Return the folder that holds dataset_dictionary/, schemas/ and policies/."""
    packed = Path(__file__).parent / "files"
    return packed if packed.is_dir() else Path(__file__).parents[3] / "contracts"


# libyaml's parser where PyYAML was built with it: half a second less at every start.
class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML 1.2 booleans: true and false alone, so that Norway stays NO."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regex) for tag, regex in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|false)\Z"), list("tf"))


def parse_yaml(text: str) -> Any:
    """Return the value of a YAML 1.2 text; raises yaml.YAMLError."""
    return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader by inheritance


def read_yaml(path: Path, code: str) -> dict[str, Any]:
    """Read a YAML mapping; raise `code` with the file's name when it is not one."""
    try:
        value = parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Segment1BError(code, f"{path} does not exist", "give an existing file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Segment1BError(code, f"{path} is not readable YAML: {error}") from None
    if not isinstance(value, dict):
        raise Segment1BError(code, f"{path} holds no mapping", "start it with 'key: value' lines")
    return value


def nearest(word: object, known: Iterable[str]) -> str:
    """Return a hint that names the known word nearest to `word`, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(str(word), names, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(names)}"
