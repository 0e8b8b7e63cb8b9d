"""URLs of object stores, as names of data roots, and names of outlet lists in them."""

from __future__ import annotations

import re
from pathlib import Path

from segment1b.errors import Segment1BError, visible

_SCHEMES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl", "file")
# A command line's Path folds "//" into "/".
_URL = re.compile(r"([a-z][a-z0-9+.-]+):/+(.*)", re.DOTALL | re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LIST = re.compile(f"(.+):({_NAME.pattern})", re.DOTALL)
_PREFIX = re.compile("[0-9a-fA-F]{4,64}")
# An Azure URL may name its container so: abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PREFIX.
_CONTAINER = re.compile(r"[a-z0-9-]+@[a-z0-9]+\.dfs\.[a-z0-9.-]+")


def url_of(location: str | Path) -> str | None:
    """Return the URL that a data root names, or None for a folder.

    Raises:
        Segment1BError: E_USAGE for a URL that no object store answers to, or that may hold
            credentials; the message does not repeat such a URL.
    """
    match = _URL.match(str(location))
    if match is None:
        return None
    scheme, rest = match.group(1).lower(), match.group(2).strip("/")
    bucket = "" if scheme == "file" else rest.partition("/")[0]
    container = scheme in ("abfs", "abfss") and _CONTAINER.fullmatch(bucket)
    if set("?#") & set(rest) or (set("@:") & set(bucket) and not container):
        raise Segment1BError(
            "E_USAGE",
            f"the {scheme}:// URL is not SCHEME://BUCKET/PREFIX: it has a user, "
            "password, port, query or fragment",
            "give credentials in the environment, for S3 as AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY; replace any that were in the URL, as shells and process lists "
            "show them",
        )
    if scheme not in _SCHEMES or not rest:
        what = f"'{location}' names no object store that can hold a data root"
        hint = f"write SCHEME://BUCKET/PREFIX with one of {', '.join(_SCHEMES)}, or a folder"
        raise Segment1BError("E_USAGE", what, hint)
    return f"{scheme}:///{rest}" if scheme == "file" else f"{scheme}://{rest}"


def split_list(place: str | Path) -> tuple[Path, str | None]:
    """Return the data root and the outlet list in it that ROOT:LIST names; None without a list.

    A directory whose own name has that form is the data root.
    """
    match = _LIST.fullmatch(str(place))
    if match is None or Path(place).is_dir():
        return Path(place), None
    return Path(match[1]), match[2]


def check_name(name: str) -> None:
    """Refuse text that cannot be the name of a list with E_USAGE."""
    if not is_name(name):
        what = f"'{visible(name)}' cannot be the name of a list"
        hint = "use 1 to 64 letters, digits, '.', '_' and '-', the first a letter or digit; "
        hint += "4 or more hex digits alone would be a fingerprint"
        raise Segment1BError("E_USAGE", what, hint)


def is_name(name: str) -> bool:
    """Return whether text can be the name of a list."""
    return bool(_NAME.fullmatch(name)) and not is_prefix(name)


def is_prefix(text: str) -> bool:
    """Return whether text can be the start of a fingerprint."""
    return bool(_PREFIX.fullmatch(text))
