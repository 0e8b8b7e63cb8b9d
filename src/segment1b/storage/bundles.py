"""Validation bundles: one law of index and flag opens 1A's bundle and 1B's own.

The index lists every file below the folder but the flag, each once, itself included; the flag holds
the SHA-256 of their bytes joined in ASCII order of path.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from segment1b.contracts import Contracts
from segment1b.contracts.texts import open_regular
from segment1b.errors import Segment1BError, file_error, redo
from segment1b.identity import sha256_hex
from segment1b.storage.durable import coded_os_errors, read_json
from segment1b.storage.receipts import hash_files

FLAG = "_passed.flag"
INDEX_SCHEMA = "schemas.ingress.layer1.yaml#/validation/bundle_index"
CHECKSUMS_SCHEMA = "schemas.ingress.layer1.yaml#/validation/egress_checksums"
MINIMUM = frozenset(
    {
        "MANIFEST.json",
        "parameter_hash_resolved.json",
        "manifest_fingerprint_resolved.json",
        "rng_accounting.json",
        "s9_summary.json",
        "egress_checksums.json",
        "index.json",
    }
)
_FLAG_LINE = re.compile(rb"sha256_hex = ([0-9a-f]{64})\n?\Z")
_FLAG_BYTES = 78
_SHOWN = 20
_SHOWN_CHARACTERS = 200
_LONGEST = 1024


@dataclass(frozen=True)
class BundleRules:
    """Whose bundle it is: the codes of what can be wrong, its least files, what to do."""

    absent: str
    index_absent: str
    index_invalid: str
    contents_missing: str
    flag_absent: str
    flag_format: str
    flag_hash: str
    minimum: frozenset[str]
    hint: str

    def error(self, code: str, path: Path, what: str) -> Segment1BError:
        """Return the error for something at a path."""
        return file_error(code, path, what, self.hint)


def flag_line(digest: str) -> bytes:
    """Return the bytes of a flag for the hex digits of its digest."""
    return f"sha256_hex = {digest}\n".encode()


def joined_digest(files: dict[str, bytes]) -> str:
    """Return the digest that a flag holds, over files given by path."""
    return sha256_hex(b"".join(files[name] for name in sorted(files)))


def open_bundle(contracts: Contracts, folder: Path, rules: BundleRules) -> tuple[list[str], str]:
    """Check a bundle's index and flag by its rules; return the indexed paths and the flag."""
    if not folder.is_dir():
        raise rules.error(rules.absent, folder, "is absent: nothing has passed here")
    names = _indexed(contracts, folder, rules)
    path = folder / FLAG
    if not path.is_file():
        raise rules.error(rules.flag_absent, path, "is absent: this has not passed")
    with coded_os_errors(path), open_regular(path) as file:
        line = _FLAG_LINE.match(file.read(_FLAG_BYTES + 1))
    if line is None:
        raise rules.error(rules.flag_format, path, "is not 'sha256_hex = <64 hex digits>'")
    flag = line.group(1).decode()
    with coded_os_errors(folder):
        whole = hash_files(folder, names)[1]
    if whole != flag:
        what = f"was changed after it passed: its files hash to {whole}, its flag says {flag}"
        raise rules.error(rules.flag_hash, folder, what)
    return names, flag


def _indexed(contracts: Contracts, folder: Path, rules: BundleRules) -> list[str]:
    path = folder / "index.json"
    if not path.is_file():
        raise rules.error(rules.index_absent, path, "is absent")
    try:
        index = read_json(path)
    except Segment1BError as error:
        raise rules.error(rules.index_invalid, path, f"is unreadable: {error.message}") from None
    problems = contracts.schemas.problems(INDEX_SCHEMA, index)
    if problems:
        raise rules.error(rules.index_invalid, path, f"does not fit its schema: {problems[0]}")

    def wrong(what: str, code: str = rules.index_invalid) -> Segment1BError:
        return rules.error(code, path, f"is wrong: {what}")

    paths = [entry["path"] for entry in index]
    for name in paths:
        if not is_plain(name):
            raise wrong(f"path '{name[:_SHOWN_CHARACTERS]}' is not a plain relative path")
    for field in ("path", "artifact_id"):
        counts = Counter(entry[field] for entry in index)
        if len(counts) < len(index):
            twice = min(value for value, count in counts.items() if count > 1)
            raise wrong(f"{field} '{twice}' stands twice")
    present = files_below(folder, lambda file, what: wrong(f"{file} {what}")) - {FLAG}
    for code, what, names in (
        (rules.index_invalid, "not in the index", present - set(paths)),
        (rules.contents_missing, "indexed but absent", set(paths) - present),
        (rules.contents_missing, "missing from the bundle's minimum", rules.minimum - set(paths)),
    ):
        if names:
            shown = [name[:_SHOWN_CHARACTERS] for name in sorted(names)[:_SHOWN]]
            shown += [f"and {len(names) - _SHOWN:,} more"] * (len(names) > _SHOWN)
            raise wrong(f"{what}: {', '.join(shown)}", code)
    return sorted(paths)


def is_plain(path: str) -> bool:
    """Return whether a path is relative, short and stays below its folder on any system."""
    # Letters, digits and slashes alone could leave the folder only through these.
    plain = (
        len(path) <= _LONGEST
        and path.isascii()
        and path.isprintable()
        and "\\" not in path
        and ":" not in path
    )
    return plain and not any(step in ("", ".", "..") for step in path.split("/"))


def files_below(folder: Path, refuse: Callable[[Path, str], Segment1BError]) -> set[str]:
    """Return the relative paths of all files; raise `refuse(path, what)` for links and pipes."""
    there = set()
    for base, folders, files in os.walk(folder):
        for path in (Path(base) / name for name in (*folders, *files)):
            if path.is_symlink():
                raise refuse(path, "is a symbolic link")
            if not (path.is_dir() or path.is_file()):
                raise refuse(path, "is not a regular file")
        there |= {(Path(base) / name).relative_to(folder).as_posix() for name in files}
    return there


#: The bundle that a run takes in, of 1A or of an imported list.
GATE_RULES = BundleRules(
    absent="E_BUNDLE_MISSING",
    index_absent="E_INDEX_MISSING",
    index_invalid="E_INDEX_INVALID",
    contents_missing="E_INDEX_INVALID",
    flag_absent="E_PASS_MISSING",
    flag_format="E_FLAG_FORMAT_INVALID",
    flag_hash="E_FLAG_HASH_MISMATCH",
    minimum=MINIMUM,
    hint="restore 1A's bundle byte for byte, or import a list with 'segment1b outlets import'",
)
#: The bundle that S9 writes.
RULES = BundleRules(
    absent="E908_BUNDLE_CONTENTS_MISSING",
    index_absent="E908_BUNDLE_CONTENTS_MISSING",
    index_invalid="E909_INDEX_INVALID",
    contents_missing="E908_BUNDLE_CONTENTS_MISSING",
    flag_absent="E910_FLAG_BAD_OR_MISSING",
    flag_format="E910_FLAG_BAD_OR_MISSING",
    flag_hash="E910_FLAG_BAD_OR_MISSING",
    minimum=MINIMUM | {"realism.json"},
    hint=f"do not use this data: restore the bundle from its source, or {redo('s9')}",
)


def check_summary(folder: Path) -> None:
    """Refuse a bundle whose summary does not say that every acceptance check has passed."""
    path = folder / "s9_summary.json"
    summary = read_json(path)
    checks = summary.get("checks") if isinstance(summary, dict) else None
    if not isinstance(checks, dict) or not checks:
        raise RULES.error(RULES.flag_hash, path, "names no acceptance check that has passed")
    failed = sorted(
        name
        for name, check in checks.items()
        if not isinstance(check, dict) or check.get("failures") != 0
    )
    if summary.get("verdict") != "PASS" or failed:
        what = f"says {summary.get('verdict')!r}; failed checks: {', '.join(failed) or 'none'}"
        raise RULES.error(RULES.flag_hash, path, what)
