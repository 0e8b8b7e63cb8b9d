"""Lists the outlet lists of a data root, with their size and what is published of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segment1b import contracts
from segment1b.contracts import Contracts
from segment1b.contracts.faults import raise_machine_fault
from segment1b.errors import Segment1BError
from segment1b.identity import TOKENS, Identity
from segment1b.outlets.list_names import OutletList, outlet_lists
from segment1b.outlets.publishing import imported
from segment1b.states import STATES
from segment1b.storage.durable import read_json
from segment1b.storage.root import find_root, root_at
from segment1b.storage.snapshot import BOUND, Snapshot


def list_outlets(location: Path, dictionary: Path | None = None) -> dict[str, Any]:
    """Return the outlet lists of a data root, the last imported first; nothing is written.

    Returns:
        `data_root` and `lists`: `name`, `file`, `imported_at_utc`, `manifest_fingerprint`,
        `merchants`, `outlets`, `method` (the allocation method) and `state` (the last of the
        states published without a gap, s0 to s9). What is not known, as the name of a list of 1A,
        the state of one that was not run, or a figure whose file is damaged, is None.
    """
    root, known = find_root(location), contracts.load(dictionary)
    # An earlier list must not be told by what was not brought from a store.
    root_at(root).fetch([known["validation_bundle_1A"].locate({"manifest_fingerprint": "*"})])
    lists = outlet_lists(root, known)
    return {
        "data_root": root_at(root).location,
        "lists": [_described(root, known, one) for one in reversed(lists)],
    }


def _described(root: Path, known: Contracts, one: OutletList) -> dict[str, Any]:
    own = Snapshot(root, known, {"manifest_fingerprint": one.fingerprint})
    bundle, receipt = (
        own.path("validation_bundle_1A"),
        object_or_empty(own.path("s0_gate_receipt_1B")),
    )
    size = object_or_empty(bundle / "s9_summary.json") if imported(bundle) else {}
    policy: dict[str, Any] = {}
    reports: list[dict[str, Any]] = []
    if receipt:
        run = Snapshot(root, known, Identity(**{name: receipt[name] for name in TOKENS}).places)
        policy = object_or_empty(run.path(BOUND)).get("policy", {})
        for state in STATES:
            report = object_or_empty(run.path(f"{state}_run_report"))
            if not report:
                break
            reports.append(report)
    of_run: dict[str, Any] = {key: value for report in reports for key, value in report.items()}
    return {
        "name": one.name,
        "file": one.file,
        "imported_at_utc": one.imported_at_utc,
        "manifest_fingerprint": one.fingerprint,
        "merchants": size.get("merchants", of_run.get("merchants_total")),
        "outlets": size.get("outlets", of_run.get("outlet_rows")),
        "method": policy.get("allocation", {}).get("law"),
        "state": f"s{len(reports) - 1}" if reports else None,
    }


def object_or_empty(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file; empty where it is absent or damaged."""
    try:
        value = read_json(path)
    except (Segment1BError, OSError) as error:
        raise_machine_fault(error, path)
        return {}
    return value if isinstance(value, dict) else {}
