"""Publishing an imported surface with what is known about it: one folder, one rename.

Beside the surface lie `<name>.provenance.json` (receipt, licence, attribution, source, options,
counts) and, for countries, the audit. A folder appears whole or not at all; a surface that is there
is never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segment1b.contracts import Contracts
from segment1b.errors import Segment1BError
from segment1b.identity import canonical_json
from segment1b.storage.durable import coded_os_errors, fsync_file, write_file
from segment1b.storage.folder_root import creating
from segment1b.storage.publisher import publish_folder
from segment1b.storage.receipts import Receipt, hash_files

#: What the provenance of a surface may say; which of it depends on the surface.
PROVENANCE_KEYS = (
    *("dataset", "licence", "attribution", "source", "columns", "options", "counts", "notes"),
    *("iso_without_polygon", "repairs", "grid", "tool", "receipt"),
)


def provenance_path(surface: Path) -> Path:
    """Return where the provenance of an imported surface lies."""
    return surface.with_name(f"{surface.stem}.provenance.json")


def publish_surface(
    root: Path,
    contracts: Contracts,
    dataset_id: str,
    staged: Path,
    rows: int,
    about: Mapping[str, Any],
) -> tuple[dict[str, Any], bool]:
    """Publish a staged surface and its provenance.

    Args:
        root: the data root.
        contracts: where the surface belongs.
        dataset_id: which surface.
        staged: a folder under the root's staging area with the surface under its final name, and
            nothing but what shall lie beside it.
        rows: rows of a table, cells of a raster.
        about: the provenance without its receipt.

    Returns:
        The provenance, and whether the same surface was there already; its own provenance stays.

    Raises:
        Segment1BError: E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL with both digests, E_STORAGE_FULL,
            E_DATA_ROOT_UNUSABLE.
    """
    target = root / contracts[dataset_id].locate({})
    folder = target.parent.relative_to(root).as_posix()
    files, digest = hash_files(staged, [target.name])
    receipt = Receipt(folder, rows, files, digest, digest)
    document = {"dataset": dataset_id, **about, "receipt": receipt.as_json()}
    if target.exists():
        _refuse_other(dataset_id, target, digest)
        return document, True
    with coded_os_errors(staged):
        write_file(provenance_path(staged / target.name), canonical_json(document))
        for path in staged.iterdir():
            fsync_file(path)
    whole = contracts[dataset_id].model_copy(update={"kind": "folder", "path": folder})
    with creating(root):
        publish_folder(root, whole, {}, staged, 1, is_committed=True)
    return document, False


def _refuse_other(dataset_id: str, target: Path, digest: str) -> None:
    held = hash_files(target.parent, [target.name])[1]
    if held != digest:
        raise Segment1BError(
            "E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL",
            f"{target} is another {dataset_id}: SHA-256 {held}, the imported one would be {digest}",
            "a surface is never changed: import it into another --data-root",
            dataset=dataset_id,
            path=str(target),
        )
