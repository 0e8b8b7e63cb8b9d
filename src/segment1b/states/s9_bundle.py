"""The validation bundle of 1B: files, index and flag.

Source: docs/spec/s9-proof.md#bundle
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segment1b.audit.acceptance import Acceptance
from segment1b.audit.criteria import proves
from segment1b.audit.tile_proof import TABLES
from segment1b.identity import canonical_json, sha256_hex
from segment1b.states.protocol import Run
from segment1b.storage.bundles import FLAG, flag_line
from segment1b.storage.durable import read_json, write_file
from segment1b.storage.reader import Reader
from segment1b.storage.receipts import hash_files

_DATASETS = (
    "s4_alloc_plan",
    "s5_site_tile_assignment",
    "s6_site_jitter",
    "s7_site_synthesis",
    "site_locations",
    "rng_event_site_tile_assign",
    "rng_event_in_cell_jitter",
    "rng_trace_site_tile_assign",
    "rng_trace_in_cell_jitter",
    "rng_audit_log",
)
_KINDS = {
    "MANIFEST.json": "summary",
    "parameter_hash_resolved.json": "text",
    "manifest_fingerprint_resolved.json": "text",
    "rng_accounting.json": "table",
    "s9_summary.json": "summary",
    "egress_checksums.json": "table",
    "realism.json": "table",
    "index.json": "table",
}


def write_bundle(
    folder: Path,
    run: Run,
    reader: Reader,
    verdicts: Sequence[Acceptance],
    figures: dict[str, Any],
) -> None:
    """Write all files of the bundle but the flag; no clock, host or memory is in them."""
    identity = run.identity
    files: dict[str, Any] = {
        "parameter_hash_resolved.json": {"parameter_hash": identity.parameter_hash},
        "manifest_fingerprint_resolved.json": {
            "manifest_fingerprint": identity.manifest_fingerprint,
            "parameter_hash": identity.parameter_hash,
        },
        "rng_accounting.json": _accounting(reader, verdicts),
        "s9_summary.json": _summary(run, reader, verdicts),
        "egress_checksums.json": _checksums(run, reader),
        "realism.json": figures,
    }
    for name, value in files.items():
        write_file(folder / name, canonical_json(value))
    manifest = {
        **identity.tokens,
        "run_id": identity.run_id,
        "datasets": {d: run.contracts[d].locate(run.places) for d in _DATASETS},
        "files": {name: sha256_hex((folder / name).read_bytes()) for name in sorted(files)},
    }
    write_file(folder / "MANIFEST.json", canonical_json(manifest))
    index = [
        {"artifact_id": Path(name).stem, "kind": kind, "path": name, "mime": "application/json"}
        for name, kind in sorted(_KINDS.items())
    ]
    write_file(folder / "index.json", canonical_json(index))


def write_flag(folder: Path) -> str:
    """Write the flag over the indexed files in ASCII order; return its hex digits."""
    digest = hash_files(folder, list(_KINDS))[1]
    write_file(folder / FLAG, flag_line(digest))
    return digest


def _accounting(reader: Reader, verdicts: Sequence[Acceptance]) -> dict[str, Any]:
    s5 = read_json(reader.file("s5_run_report"))
    s6 = read_json(reader.file("s6_run_report"))
    events = s5["rng_events_emitted"]
    mismatches = sum(v.failures for v in verdicts if v.check in ("A905", "A913"))
    return {
        "site_tile_assign": {
            "sites": s5["rows_emitted"],
            "match": s5["match"],
            "events": events,
            "blocks": str(events),
            "draws": str(events),
            "trace_sha256_hex": s5["trace_receipt"]["sha256_hex"],
        },
        "in_cell_jitter": {
            "sites": s6["sites_total"],
            "events": s6["rng"]["events_total"],
            "blocks": s6["rng"]["blocks_total"],
            "draws": s6["rng"]["draws_total"],
            "attempt_histogram": s6["rng"]["attempt_histogram"],
            "lanes": s6["rng"]["lanes"],
            "trace_sha256_hex": s6["trace_receipt"]["sha256_hex"],
        },
        "mismatches": mismatches,
    }


def verdict_of(verdicts: Sequence[Acceptance]) -> str:
    """Return FAIL when any acceptance check has failures, else PASS."""
    return "FAIL" if any(v.failures for v in verdicts) else "PASS"


def _summary(run: Run, reader: Reader, verdicts: Sequence[Acceptance]) -> dict[str, Any]:
    s8 = read_json(reader.file("s8_run_report"))
    return {
        "verdict": verdict_of(verdicts),
        "proves": proves(run.policy.allocation.law),
        "tiles": {name: reader.partition(name).receipt.content_sha256_hex for name in TABLES},
        "checks": {
            v.check: {
                "code": v.code,
                "failures": v.failures,
                "examples": v.examples[:20],
                "detail": v.detail,
            }
            for v in verdicts
        },
        "rows": s8["rows_s8"],
        "by_country": s8["by_country"],
    }


def _checksums(run: Run, reader: Reader) -> dict[str, Any]:
    receipt = reader.partition("site_locations").receipt
    return {
        "dataset_id": "site_locations",
        "seed": run.identity.seed,
        "manifest_fingerprint": run.identity.manifest_fingerprint,
        "files": [
            {"path": path, "sha256_hex": digest, "size_bytes": size}
            for path, size, digest in receipt.files
        ],
        "composite_sha256_hex": receipt.sha256_hex,
        "content_sha256_hex": receipt.content_sha256_hex,
    }
