"""Which program wrote a run report: its version and a digest of its source and contracts."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

VERSION = "0.2.0"
_PACKAGE = Path(__file__).parents[1]
_SUFFIXES = (".py", ".sql")


def contracts_root() -> Path:
    """Return the folder that holds dataset_dictionary/, schemas/ and policies/."""
    packed = _PACKAGE / "contracts" / "files"
    return packed if packed.is_dir() else _PACKAGE.parents[1] / "contracts"


@functools.cache
def digest() -> str:
    """Return the SHA-256 over the Python, SQL and contract files, names and bytes in name order.

    It is the same for a checkout and for the wheel that is built of it.
    """
    source = {p.relative_to(_PACKAGE).as_posix(): p for p in _PACKAGE.rglob("*")}
    files = {name: path for name, path in source.items() if path.suffix in _SUFFIXES}
    root = contracts_root()
    files |= {f"contracts/files/{p.relative_to(root).as_posix()}": p for p in root.rglob("*.yaml")}
    whole = hashlib.sha256()
    for name in sorted(files):
        data = files[name].read_bytes()
        whole.update(f"{name} {len(data)}\n".encode())
        whole.update(data)
    return whole.hexdigest()


def program() -> dict[str, str]:
    """Return what a run report keeps of the program that wrote it."""
    return {"version": VERSION, "source_sha256_hex": digest()}
