"""Which program wrote a run report: its version and a digest of its source."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import segment1b

_SUFFIXES = (".py", ".sql")


@functools.cache
def digest() -> str:
    """Return the SHA-256 over the package's Python and SQL files, names and bytes in name order."""
    folder, whole = Path(__file__).parent, hashlib.sha256()
    names = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.suffix in _SUFFIXES]
    for name in sorted(names):
        data = (folder / name).read_bytes()
        whole.update(f"{name} {len(data)}\n".encode())
        whole.update(data)
    return whole.hexdigest()


def program() -> dict[str, str]:
    """Return what a run report keeps of the program that wrote it."""
    return {"version": segment1b.__version__, "source_sha256_hex": digest()}
