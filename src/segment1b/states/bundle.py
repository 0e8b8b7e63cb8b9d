"""The files of the validation bundle of S9."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segment1b.identity import canonical_json, sha256_hex
from segment1b.states.protocol import Run
from segment1b.storage.durable import read_json, write_file
from segment1b.storage.reader import Reader

if TYPE_CHECKING:  # a run that reuses everything needs no checks
    from segment1b.audit.acceptance import Acceptance

#: Kinds of the files in the index, where not a table.
_KINDS = {
    "MANIFEST.json": "summary",
    "s9_summary.json": "summary",
    "parameter_hash_resolved.json": "text",
    "manifest_fingerprint_resolved.json": "text",
}


def write_bundle(
    folder: Path,
    run: Run,
    reader: Reader,
    verdicts: Sequence[Acceptance],
    figures: dict[str, Any],
) -> None:
    """Write all files of the bundle but the flag; no clock, host or memory is in them.

    Source: docs/spec/s9-proof.md#bundle
    """
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
    written = {name: canonical_json(value) for name, value in files.items()}
    datasets = {
        dataset.id: dataset.locate(run.places)
        for dataset in map(run.contracts.__getitem__, run.used(one.id for one in run.contracts))
        if "S4" <= dataset.owner <= "S8"
        and (dataset.kind == "table" or dataset.id.startswith("rng_"))
    }
    manifest = {
        **identity.tokens,
        "run_id": identity.run_id,
        "datasets": datasets,
        "files": {name: sha256_hex(data) for name, data in written.items()},
    }
    written["MANIFEST.json"] = canonical_json(manifest)
    index = [
        {
            "artifact_id": Path(name).stem,
            "kind": _KINDS.get(name, "table"),
            "path": name,
            "mime": "application/json",
        }
        for name in sorted([*written, "index.json"])
    ]
    written["index.json"] = canonical_json(index)
    for name, data in written.items():
        write_file(folder / name, data)


def _accounting(reader: Reader, verdicts: Sequence[Acceptance]) -> dict[str, Any]:
    s5 = read_json(reader.file("s5_run_report"))
    s6 = read_json(reader.file("s6_run_report"))
    events = s5["rng_events_emitted"]
    mismatches = sum(v.failures for v in verdicts if v.check in ("A905", "A913"))
    centres = {}
    if "centres" in s6:
        named = {"events_total": "events", "blocks_total": "blocks", "draws_total": "draws"}
        centres["centre_jitter"] = {
            **{named.get(name, name): value for name, value in s6["centres"].items()},
            "trace_sha256_hex": s6["centre_trace_receipt"]["sha256_hex"],
        }
    return {
        **centres,
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
    from segment1b.audit import criteria, tile_proof
    from segment1b.audit.published_files import Published

    s8 = read_json(reader.file("s8_run_report"))
    published = Published(run.root, run.contracts, run.identity.tokens)
    return {
        "verdict": verdict_of(verdicts),
        "proves": criteria.proves(run.policy.allocation.law),
        "tiles": {
            name: reader.partition(name).receipt.content_sha256_hex
            for name in tile_proof.tables(published)
        },
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
