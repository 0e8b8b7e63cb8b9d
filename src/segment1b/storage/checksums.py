"""`SHA256SUMS`: the digest of every other file of a folder, as `sha256sum -c` reads it."""

from __future__ import annotations

import re
from pathlib import Path

from segment1b.contracts.texts import MAX_JSON_BYTES, read_bounded
from segment1b.errors import Segment1BError, file_error
from segment1b.storage.bundles import files_below, is_plain
from segment1b.storage.durable import coded_os_errors, write_file
from segment1b.storage.receipts import hash_files, unequal

SUMS = "SHA256SUMS"
INVALID = "E_EVIDENCE_INVALID"
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def write_sums(folder: Path) -> Path:
    """Write the digests of all files below a folder in ASCII order of path; return the file."""
    files, _ = hash_files(folder, sorted(files_below(folder, invalid) - {SUMS}))
    path = folder / SUMS
    write_file(path, "".join(f"{digest}  {name}\n" for name, _, digest in files).encode("ascii"))
    return path


def verify_sums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 by path, in ASCII order, of the files that `SHA256SUMS` lists.

    Raises:
        Segment1BError: E_EVIDENCE_INVALID when a file has changed, is absent or is not listed.
    """
    listed = _read(folder / SUMS)
    files, _ = hash_files(folder, sorted(files_below(folder, invalid) - {SUMS}))
    found = {name: digest for name, _, digest in files}
    for name in unequal(found, listed):
        if name not in found:
            raise invalid(folder / name, f"is listed but absent in {SUMS}")
        if name not in listed:
            raise invalid(folder / name, f"is there but not listed in {SUMS}")
        raise invalid(folder / name, f"hashes to {found[name]}, {SUMS} has {listed[name]}")
    return listed


def invalid(path: Path, what: str) -> Segment1BError:
    """Return the error for something that is wrong with a file of a folder of evidence."""
    hint = "do not rely on this folder: ask whoever made it for a whole copy, or make it again"
    return file_error(INVALID, path, what, hint)


def _read(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise invalid(path, "is absent: nothing says what should be here")
    try:
        with coded_os_errors(path):
            data = read_bounded(path, MAX_JSON_BYTES)
    except ValueError as error:
        raise invalid(path, f"is {error}") from None
    lines = data.decode("ascii", "replace").splitlines()
    said: dict[str, str] = {}
    last = ""
    for number, line in enumerate(lines, 1):
        found = _LINE.fullmatch(line)
        if found is None or not is_plain(found[2]):
            raise invalid(path, f"line {number} is not '<64 hex digits>  <relative path>'")
        if found[2] <= last:
            raise invalid(path, f"line {number}: {found[2]} is out of ASCII order or there twice")
        last = found[2]
        said[last] = found[1]
    return said
