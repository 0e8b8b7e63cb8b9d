"""Checks that each digest that a state read was written by an earlier state or sealed by S0."""

from __future__ import annotations

from typing import Any

from segment1b.contracts.states import TRADE_WEIGHTS
from segment1b.contracts.texts import read_regular
from segment1b.page.published import World, read_optional
from segment1b.storage.receipts import document_receipt

_WHAT = {
    "s0": "gate",
    "s1": "tiles",
    "s2": "weights",
    "s3": "requirements",
    "s4": "plan",
    "s5": "assignment",
    "s6": "points",
    "s7": "synthesis",
    "s8": "locations",
    "s9": "proof",
}


def chain_of(world: World) -> dict[str, Any]:
    """Return what each state read and wrote, how many digests were read, and which do not match."""
    known, links, broken = _sealed(world), [], []
    for state, report in world.reports.items():
        read = [
            {"name": name, "digest": digest, "meets": known.get(name) == digest}
            for name, digest in report.get("input_digests", {}).items()
        ]
        broken += [f"{state.upper()} {entry['name']}" for entry in read if not entry["meets"]]
        written = _written(world, state)
        links.append(
            {"state": state.upper(), "what": _WHAT[state], "read": read, "written": written}
        )
        known |= {entry["name"]: entry["digest"] for entry in written}
        if state == "s2":
            known |= _trades(world, report)
        dataset = world.contracts[f"{state}_run_report"]
        body = read_regular(world.path(dataset.id))
        # A report is read without its clocks.
        known[dataset.id] = document_receipt("", body, dataset.volatile).content_sha256_hex
    return {
        "links": links,
        "read": sum(len(link["read"]) for link in links),
        "broken": broken,
    }


def _trades(world: World, report: dict[str, Any]) -> dict[str, str]:
    """Return the digests of the weights of trades, by name, at S2's parameter hash."""
    entry = world.contracts["s2_trade_run_report"]
    pattern = entry.locate({"trade": "*", "parameter_hash": report["parameter_hash"]})
    found = {}
    for path in sorted(world.root.glob(pattern)):
        own = read_optional(path) or {}
        found[f"{TRADE_WEIGHTS}/{own['trade']}"] = own["determinism_receipt"]["content_sha256_hex"]
    return found


def _sealed(world: World) -> dict[str, str]:
    """Return the digests of what S0 sealed, by name; none without its receipt."""
    receipt = read_optional(world.path("s0_gate_receipt_1B"))
    inputs = receipt["sealed_inputs"] if receipt else ()
    return {entry["id"]: entry["sha256_hex"] for entry in inputs}


def _written(world: World, state: str) -> list[dict[str, str]]:
    report = world.reports[state]
    receipts = {
        dataset.id: report[dataset.receipt_field]
        for dataset in world.contracts
        if dataset.receipt_in == f"{state}_run_report" and dataset.receipt_field in report
    }
    return [
        {"name": name, "path": entry["partition_path"], "digest": entry["content_sha256_hex"]}
        for name, entry in receipts.items()
    ]
