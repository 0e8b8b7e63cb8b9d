"""Failure records: every failure also lands as one JSON object under control/failures/."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from segment1b.contracts import Contracts
from segment1b.errors import Segment1BError, visible
from segment1b.identity import canonical_json
from segment1b.storage.folder_root import FolderRoot
from segment1b.storage.root import root_at
from segment1b.storage.staging import STAGING


def utc_now() -> str:
    """Return the time now as RFC 3339 with microseconds and Z."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def record_failure(
    root: Path,
    contracts: Contracts,
    error: Segment1BError,
    state: str | None,
    tokens: dict[str, Any],
) -> Path | None:
    """Write the record of a failure and return its file; None where the root cannot be written."""
    at = utc_now()
    record = {
        "event": f"{state.upper()}_ERROR" if state else "RUN_ERROR",
        "code": error.code,
        "at": at,
        "tokens": tokens,
        "detail": visible(error.message),
        **{name: value for name, value in error.scope.items() if _plain(value)},
    }
    folder = contracts["failure_records"].locate({})
    path = f"{folder}/{at.replace(':', '')}_{error.code}.json"
    with suppress(Segment1BError, OSError):
        # No second request to a store that has just failed.
        own = FolderRoot(root) if error.code.startswith("E_STORE_") else root_at(root)
        own.replace(path, canonical_json(record), root / STAGING)
        return root / path
    return None


def _plain(value: Any) -> bool:
    try:
        canonical_json(value)
    except (TypeError, ValueError):
        return False
    return value is not None
