"""The commands around the outlet lists of a data root."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from segment1b.cli.options import ROOT, AsJson, DataRoot, Dictionary, Wait, option, show
from segment1b.errors import visible


def list_lists(
    data_root: DataRoot = ROOT, dictionary: Dictionary = None, as_json: AsJson = False
) -> None:
    """List the outlet lists of a data root, the last imported first."""
    from segment1b.pipeline.listing import list_outlets

    show(list_outlets(data_root, dictionary), _print, as_json=as_json)


def remove(
    name: Annotated[str, typer.Argument(help="Name or fingerprint, as 'list' shows it.")],
    data_root: DataRoot = ROOT,
    dictionary: Dictionary = None,
    dry_run: Annotated[bool, option("Only list what would be removed.", "--dry-run")] = False,
    wait_seconds: Wait = 0.0,
    as_json: AsJson = False,
) -> None:
    """Remove an outlet list with all that was published of it; asks nothing."""
    from segment1b.cli import tables
    from segment1b.pipeline.discard import remove_list

    items = remove_list(
        data_root, name, dictionary=dictionary, wait_seconds=wait_seconds, dry_run=dry_run
    )
    listed = [{"path": path, "bytes": size} for path, size in items.items()]
    result = {"dry_run": dry_run, "removed": listed, "bytes": sum(items.values())}

    def text(_: object) -> None:
        if dry_run:
            tables.print_items(items)
        tables.print_total(items, "would be removed" if dry_run else "removed")

    show(result, text, as_json=as_json)


def _print(found: Mapping[str, Any]) -> None:
    from segment1b.cli.tables import print_table
    from segment1b.outlets.list_names import SHORT

    if not found["lists"]:
        print(f"no outlet lists in {found['data_root']}")
        print("import one with 'segment1b outlets import FILE'")
        return
    print_table(
        [
            {
                "name": one["name"] or "",
                "file": _cell(one["file"]),
                "imported": (one["imported_at_utc"] or "")[:19],
                "method": _cell(one["method"]),
                "state": (one["state"] or "").upper(),
                "fingerprint": one["manifest_fingerprint"][:SHORT],
                "merchants": _count(one["merchants"]),
                "outlets": _count(one["outlets"]),
            }
            for one in found["lists"]
        ],
        texts=6,
    )


def _cell(value: object) -> str:
    """Return text from a document in one line, without control characters."""
    text = "" if value is None else visible(str(value))
    return text.replace("\n", "\\n").replace("\t", "\\t")


def _count(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else _cell(value)
