"""URLs of object stores, as names of data roots."""

from __future__ import annotations

import re
from pathlib import Path

from segment1b.errors import Segment1BError

_SCHEMES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl", "file")
# A command line's Path folds "//" into "/".
_URL = re.compile(r"([a-z][a-z0-9+.-]+):/+(.*)", re.DOTALL | re.IGNORECASE)
_LIST = re.compile(r"(.+):([A-Za-z0-9][A-Za-z0-9._-]{0,63})", re.DOTALL)
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
