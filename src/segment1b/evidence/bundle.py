"""Writes the evidence bundle in a scratch folder, checks it, and publishes it by one rename."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from segment1b.audit import CheckResult, validate
from segment1b.errors import Segment1BError
from segment1b.evidence import prose, records
from segment1b.evidence.proof import Published, prove
from segment1b.evidence.sample import COUNTRY, Sampled, write_sample
from segment1b.evidence.verification import (
    BUNDLE,
    CHECKS,
    DETERMINISM,
    MANIFEST,
    REPORTS,
    is_evidence,
    verify_evidence,
)
from segment1b.identity import sha256_hex
from segment1b.page.page import write_page
from segment1b.read import explanation, gate
from segment1b.read import replay as replaying
from segment1b.storage.checksums import SUMS, write_sums
from segment1b.storage.durable import (
    coded_os_errors,
    fsync_folder,
    make_folder,
    write_file,
)
from segment1b.storage.scratch import REPLACED, scratch_beside

VOLATILE = "volatile"
SAMPLE_SITES = 200
Say = Callable[[str], None]


def write_evidence(
    published: Published,
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
        with_page: include the HTML report, about 10 MB.
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
        gate.verify_bundle(published.root, published.contracts, published.tokens)
        staged = scratch / "evidence"
        with coded_os_errors(out):
            staged.mkdir()
            _fill(published, staged, sample_sites, say)
            if with_page:
                page = staged / VOLATILE / "page.html"
                write_page(published.root, published.contracts, published.identity, page)
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


def _fill(published: Published, folder: Path, sample_sites: int, say: Say) -> None:
    say("running all validators")
    checks = _checks(published)
    say("making the run again")
    proof = prove(published)
    say("writing")
    for name in ("samples", "worked", REPORTS, "seal", "policy", "contracts", VOLATILE):
        (folder / name).mkdir()
    sampled = write_sample(
        published.root, published.contracts, published.identity, sample_sites, folder / "samples"
    )
    for state in records.STATES:
        report = records.steady_report(published, state)
        _json(folder / REPORTS / f"{state}_run_report.json", report)
    seal = records.steady_document(published, "s0_gate_receipt_1B")
    _json(folder / "seal" / "s0_gate_receipt.json", seal)
    policy = published.path("parameter_policy_1B").read_bytes()
    write_file(folder / "policy" / "parameter_policy.json", policy)
    _json(folder / "contracts" / "datasets.json", records.datasets(published.contracts))
    shutil.copytree(published.path("validation_bundle_1B"), folder / BUNDLE)
    fields = ("state", "name", "code", "scope", "proves", "offending", "detail")
    results = [{name: getattr(check, name) for name in fields} for check in checks]
    _json(folder / CHECKS, {"checks": results})
    _json(folder / DETERMINISM, proof)
    for name, data in records.originals(published).items():
        write_file(folder / VOLATILE / name, data)
    _json(folder / VOLATILE / "machine.json", records.machine(published))
    _worked(published, sampled, folder / "worked")
    manifest = _manifest(published, folder, sampled, len(checks), proof)
    _json(folder / MANIFEST, manifest)
    _texts(published, folder, sampled, manifest, proof)


def _checks(published: Published) -> list[CheckResult]:
    """Run all validators; raise the code of the first check with offending rows."""
    tokens = published.identity.tokens
    results = validate(
        published.root, published.contracts, tokens, records.STATES, bundle=published.bundle
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
    return results


def _worked(published: Published, sampled: Sampled, folder: Path) -> None:
    """Explain a sampled pair and replay its first outlet."""
    merchant, country = sampled.shown
    root, given, where = published.root, published.identity.tokens, published.dictionary
    _json(folder / "explain.json", explanation.explain(root, merchant, country, given, where))
    _json(folder / "replay.json", replaying.replay(root, merchant, country, 1, given, where))


def _manifest(
    published: Published, folder: Path, sampled: Sampled, checks: int, proof: dict[str, Any]
) -> dict[str, Any]:
    identity, plan = published.identity, published.document("s4_run_report")
    policy = sha256_hex((folder / "policy" / "parameter_policy.json").read_bytes())
    return {
        "bundle": "segment1b evidence 1",
        "program": records.program(),
        **identity.tokens,
        "run_id": identity.run_id,
        "parameter_policy_sha256": policy,
        "parameter_hash_is_computed": policy == identity.parameter_hash,
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


def _texts(
    published: Published,
    folder: Path,
    sampled: Sampled,
    manifest: dict[str, Any],
    proof: dict[str, Any],
) -> None:
    surfaces = published.document("parameter_policy_1B")["surfaces"]
    shutil.copyfile(Path(__file__).with_name("rederive.py"), folder / "rederive.py")
    story = _story(folder / "samples", sampled.shown)
    texts = {
        "determinism.md": prose.determinism(proof),
        "NOTICE.md": prose.notices(published.contracts, surfaces),
        "README.md": prose.readme(manifest, sampled.pairs, story),
    }
    for name, text in texts.items():
        write_file(folder / name, text.encode())


def _story(samples: Path, pair: tuple[int, str]) -> list[dict[str, Any]]:
    """Return the rows of a pair's first outlet, from its requirement to its location."""
    merchant, country = pair

    def row(name: str, **key: Any) -> dict[str, Any]:
        rows = pq.read_table(samples / f"{name}.parquet").to_pylist()
        return next(row for row in rows if key.items() <= row.items())

    key = {"merchant_id": merchant, COUNTRY: country}
    first = {**key, "site_order": 1}
    assigned = row("s5_site_tile_assignment", **first)
    tile = assigned["tile_id"]
    return [
        row("s3_requirements", **key),
        row("s4_alloc_plan", **key, tile_id=tile),
        assigned,
        row("s6_site_jitter", **first),
        row("tile_bounds", country_iso=country, tile_id=tile),
        row("site_locations", **first),
    ]


def _json(path: Path, value: Any) -> None:
    # Indented, as people read these in an editor.
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    write_file(path, (text + "\n").encode())
