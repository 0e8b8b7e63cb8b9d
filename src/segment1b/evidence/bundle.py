"""Writes the evidence bundle in a scratch folder, checks it, and publishes it by one rename."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from segment1b.audit import validate
from segment1b.contracts.program import VERSION
from segment1b.contracts.states import TRADE_WEIGHTS
from segment1b.errors import Segment1BError
from segment1b.evidence import prose, records
from segment1b.evidence.proof import ProvedRun, prove
from segment1b.evidence.sample import COUNTRY, Sampled, write_sample
from segment1b.evidence.verification import (
    BUNDLE,
    CHECKS,
    DETERMINISM,
    MANIFEST,
    POLICY,
    REPORTS,
    is_evidence,
    verify_evidence,
)
from segment1b.identity import STATE_NAMES, sha256_hex
from segment1b.page.page import write_page
from segment1b.read import gate
from segment1b.read.explanation import explain
from segment1b.read.gate import Which
from segment1b.read.replay import replay
from segment1b.storage.checksums import SUMS, write_sums
from segment1b.storage.durable import (
    coded_os_errors,
    fsync_folder,
    make_folder,
    write_file,
)
from segment1b.storage.scratch import REPLACED, scratch_beside
from segment1b.storage.snapshot import report_id

VOLATILE = "volatile"
SAMPLE_SITES = 200
Say = Callable[[str], None]


def write_evidence(
    published: ProvedRun,
    out: Path,
    *,
    sample_sites: int = SAMPLE_SITES,
    replace: bool = False,
    with_page: bool = True,
    say: Say = lambda _: None,
) -> dict[str, Any]:
    """Write the evidence bundle of a run that has passed.

    All validators are run, and the run is repeated in temporary roots with other workers and
    engines. `out` gets the whole bundle by one rename, or stays as it is. All files but
    `SHA256SUMS` and those under `volatile/` are reproducible byte for byte.

    Args:
        published: the run.
        out: absent, an empty folder, or with `replace` an older evidence bundle.
        sample_sites: most outlets in the data sample (see `write_sample`).
        replace: replace an older bundle.
        with_page: include the HTML report, about 3 MB.
        say: callback for each step.

    Returns:
        What `verify_evidence` returns for the new bundle.

    Raises:
        Segment1BError: E_USAGE where `out` holds something; what the gate raises for an unproven
            run; the code of the first check with offending rows; E_EVIDENCE_NOT_REPRODUCED.
    """
    out = Path(os.path.abspath(out))
    make_folder(out.parent)
    with scratch_beside(out) as scratch:
        _refuse_occupied(out, replace=replace)
        say("checking the gate")
        gate.verify_bundle(published)
        staged = scratch / "evidence"
        with coded_os_errors(out):
            staged.mkdir()
            _fill(published, staged, sample_sites, say)
            if with_page:
                write_page(published, staged / VOLATILE / "page.html")
            write_sums(staged)
        result = verify_evidence(staged, published.contracts)
        with coded_os_errors(out):
            _put(staged, out, scratch / REPLACED)
    return result


def _refuse_occupied(out: Path, *, replace: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out.is_dir() and is_evidence(out)):
        what, hint = "something else than evidence", "give another folder as --out"
    elif not replace:
        what, hint = "evidence already", "give another folder, or --replace"
    else:
        return
    raise Segment1BError("E_USAGE", f"{out} holds {what}", hint)


def _put(staged: Path, out: Path, aside: Path) -> None:
    """Rename the bundle to `out`; an older one is moved aside first."""
    if out.exists():
        os.rename(out, aside)
    try:
        os.rename(staged, out)
    except OSError:
        if aside.exists():
            os.rename(aside, out)
        raise
    fsync_folder(out.parent)


def _fill(published: ProvedRun, folder: Path, sample_sites: int, say: Say) -> None:
    say("running all validators")
    checks = _checks(published)
    say("making the run again")
    proof = prove(published)
    say("writing")
    (folder / "samples").mkdir()
    sampled = write_sample(published, sample_sites, folder / "samples")
    policy = published.path("parameter_policy_1B").read_bytes()
    manifest = _manifest(published, policy, sampled, len(checks), proof)
    documents = {
        MANIFEST: manifest,
        CHECKS: {"checks": checks},
        DETERMINISM: proof,
        "seal/s0_gate_receipt.json": records.steady_document(published, "s0_gate_receipt_1B"),
        "contracts/datasets.json": records.datasets(published.contracts),
        f"{VOLATILE}/machine.json": records.machine(published),
        **_worked(published, *sampled.shown),
    }
    for state in STATE_NAMES:
        report = records.steady_report(published, state)
        documents[f"{REPORTS}/{state}_run_report.json"] = report
    for dataset in published.receipted():
        if dataset.id.startswith(f"{TRADE_WEIGHTS}/"):
            name = report_id(dataset)
            documents[f"{REPORTS}/{name}.json"] = records.steady_document(published, name)
    story = _story(folder / "samples", *sampled.shown)
    surfaces = published.document("parameter_policy_1B")["surfaces"]
    texts = prose.texts(published.contracts, surfaces, manifest, proof, sampled.pairs, story)
    files = {
        POLICY: policy,
        "rederive.py": Path(__file__).with_name("rederive.py").read_bytes(),
        **{f"{VOLATILE}/{name}": data for name, data in records.originals(published).items()},
        **{name: _json(value) for name, value in documents.items()},
        **{name: text.encode() for name, text in texts.items()},
    }
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_file(folder / name, data)
    shutil.copytree(published.path("validation_bundle_1B"), folder / BUNDLE)


def _checks(published: ProvedRun) -> list[dict[str, Any]]:
    """Run all validators; raise the code of the first check with offending rows."""
    tokens = published.identity.tokens
    results = validate(
        published.root, published.contracts, tokens, STATE_NAMES, bundle=published.bundle
    )
    failed = [result for result in results if result.offending]
    if failed:
        raise Segment1BError(
            failed[0].code,
            f"{len(failed)} of {len(results)} checks do not pass, {failed[0].state} "
            f"{failed[0].name} first: {failed[0].offending} offending rows",
            "there is no evidence for such a run; 'segment1b validate' shows the rows",
            state=failed[0].state,
        )
    return [{k: v for k, v in vars(result).items() if k != "rows"} for result in results]


def _worked(published: ProvedRun, merchant: int, country: str) -> dict[str, Any]:
    """Explain a sampled pair and replay its first outlet."""
    identity = published.identity
    which = Which(
        seed=identity.seed,
        manifest_fingerprint=identity.manifest_fingerprint,
        parameter_hash=identity.parameter_hash,
        dictionary=published.dictionary,
    )
    return {
        "worked/explain.json": explain(published.root, merchant, country, **which),
        "worked/replay.json": replay(published.root, merchant, country, 1, **which),
    }


def _manifest(
    published: ProvedRun, policy: bytes, sampled: Sampled, checks: int, proof: dict[str, Any]
) -> dict[str, Any]:
    identity, plan = published.identity, published.document("s4_run_report")
    policy_hash = sha256_hex(policy)
    return {
        "bundle": "segment1b evidence 1",
        "program": f"segment1b {VERSION}",
        **identity.tokens,
        "run_id": identity.run_id,
        "parameter_policy_sha256": policy_hash,
        "parameter_hash_is_computed": policy_hash == identity.parameter_hash,
        "flag_sha256_hex": published.document("s9_run_report")["flag_sha256_hex"],
        "law": plan["law"],
        "counts": {
            "sites": plan["sites_total"],
            "pairs": plan["pairs_total"],
            "merchants": plan["merchants_total"],
            "countries": published.document("s3_run_report")["countries_total"],
        },
        "checks": checks,
        "determinism": {"repeats": proof["repeats"], "datasets": len(proof["datasets"])},
        "samples": [
            {"table": name, "rows": rows, "of_rows": sampled.of_rows[name]}
            for name, rows in sampled.rows.items()
        ],
        "contracts": records.contract_digests(published.contracts),
        "volatile": [SUMS, f"{VOLATILE}/"],
    }


def _story(samples: Path, merchant: int, country: str) -> dict[str, Any]:
    """Return the rows of a pair's first outlet, from its requirement to its location."""

    def row(name: str, **key: Any) -> dict[str, Any]:
        rows = pq.read_table(samples / f"{name}.parquet").to_pylist()
        return next(row for row in rows if key.items() <= row.items())

    key = {"merchant_id": merchant, COUNTRY: country}
    first = {**key, "site_order": 1}
    assigned = row("s5_site_tile_assignment", **first)
    tile = assigned["tile_id"]
    return {
        "need": row("s3_requirements", **key),
        "plan": row("s4_alloc_plan", **key, tile_id=tile),
        "assigned": assigned,
        "offset": row("s6_site_jitter", **first),
        "tile": row("tile_bounds", country_iso=country, tile_id=tile),
        "location": row("site_locations", **first),
    }


def _json(value: Any) -> bytes:
    # Indented, as people read these in an editor.
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()
