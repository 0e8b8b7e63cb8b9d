"""The validate commands: find the identity, run the checks, print the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape
from rich.table import Table

from segment1b.audit import CheckResult, tile_proof, validate_published
from segment1b.audit.printed import sql_of
from segment1b.audit.published import Published
from segment1b.cli.console import Terminal, print_json
from segment1b.errors import Segment1BError
from segment1b.identity import canonical_json
from segment1b.pipeline.decide import TOKENS, find_identity
from segment1b.storage.durable import make_folder
from segment1b.storage.publisher import publish_file
from segment1b.storage.root import find_root
from segment1b.storage.staging import STAGING, staging


def run_validators(states: Sequence[str], options: Mapping[str, Any], *, as_json: bool) -> bool:
    """Run the checks of some states and print their verdicts; return whether all passed."""
    published = _published(options)
    results = validate_published(published, states, perf=options["perf"])
    _store_tile_proof(published, results)
    if as_json:
        print_json(
            {
                "ok": not any(r.offending for r in results),
                "checks": [
                    {
                        "state": r.state,
                        "name": r.name,
                        "code": r.code,
                        "scope": r.scope,
                        "proves": r.proves,
                        "offending": r.offending,
                        "rows": r.rows,
                        "detail": r.detail,
                    }
                    for r in results
                ],
            }
        )
    else:
        _print(results)
    return not any(result.offending for result in results)


def print_sql(states: Sequence[str], options: Mapping[str, Any], name: str) -> None:
    """Print the SQL of one check; tables that Python makes are saved to segment1b-sql/."""
    typer.echo(sql_of(_published(options), states, name, Path.cwd() / "segment1b-sql"), nl=False)


def _published(options: Mapping[str, Any]) -> Published:
    root = find_root(options["data_root"])
    given = {name: options[name] for name in TOKENS}
    contracts, identity = find_identity(root, options["dictionary"], given)
    return Published(root, contracts, identity.tokens, options["validation_bundle"])


def _store_tile_proof(published: Published, results: Sequence[CheckResult]) -> None:
    """Store the tile proof once S1 and S2 have passed; a root that cannot be written has none."""
    states = {result.state for result in results}
    passed = all(result.ok for result in results if result.state in tile_proof.STATES)
    if not states.issuperset(tile_proof.STATES) or not passed or tile_proof.is_stored(published):
        return
    root, dataset = published.root, published.dataset(tile_proof.DATASET)
    try:
        make_folder(root / STAGING)
        with staging(root) as scratch:
            proof = canonical_json(tile_proof.document(published))
            publish_file(root, dataset, published.tokens, proof, scratch)
    except (Segment1BError, OSError) as error:
        Terminal(stderr=True, soft_wrap=True, highlight=False).print(
            f"the tile proof is not stored, S9 will run these checks again: {escape(str(error))}"
        )


def _print(results: Sequence[CheckResult]) -> None:
    """Print one line a check, then what offends; wide, so that codes stay whole and searchable."""
    table = Table(title="Checks")
    for name in ("state", "code", "check", "verdict"):
        table.add_column(name, no_wrap=True)
    for result in results:
        verdict = f"[red]{_rows(result)}[/]" if result.offending else "pass"
        table.add_row(result.state, result.code, escape(result.name), verdict)
    out = Terminal(width=120, soft_wrap=True, highlight=False)
    out.print(table)
    failed = [result for result in results if result.offending]
    for result in failed:
        out.print(
            f"[bold red]{result.code}[/] {escape(result.name)}, {_rows(result)} "
            f"{escape(result.detail)}\n  it proves: {escape(result.proves)}"
        )
        for row in result.rows:
            out.print(f"  {escape(str(row))}")
    out.print(f"{len(results) - len(failed)} of {len(results)} checks pass")


def _rows(result: CheckResult) -> str:
    return f"{result.offending:,} offending row" + ("s" if result.offending > 1 else "")
