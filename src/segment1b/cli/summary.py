"""What `segment1b run` prints: at most 12 lines, with the verdict and the next commands."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from rich.text import Text

from segment1b import contracts
from segment1b.cli.tables import print_fields, print_rich
from segment1b.outlets.list_names import outlet_lists
from segment1b.outlets.positions import Succession
from segment1b.pipeline.outcome import Outcome, RunResult
from segment1b.read.plausibility import concerns
from segment1b.storage.durable import read_object
from segment1b.storage.root import root_at

_DIGITS = 8
_SHOWN = 2


def odd_of(result: RunResult) -> list[str]:
    """Return why the locations of a run are not plausible; none where nothing looks odd."""
    reports = {outcome.state: outcome for outcome in result.outcomes}
    realism, proof = {}, reports.get("s9")
    if proof and (file := proof.paths["validation_bundle_1B"] / "realism.json").exists():
        realism = read_object(file)
    plan = reports["s4"].report if "s4" in reports else {}
    return concerns(plan, realism, result.policy)


def print_summary(result: RunResult, dictionary: Path | None = None) -> None:
    """Print what a run did, whether it is correct and plausible, and three next commands."""
    states = {outcome.state: outcome for outcome in result.outcomes}
    location = root_at(result.root).location
    if "://" not in location:
        near = os.path.relpath(location)
        location = location if near.startswith("..") else near
    hashes = ("manifest_fingerprint", "parameter_hash")
    list_, parameters = (str(result.identity[name])[:_DIGITS] for name in hashes)
    fields: dict[str, object] = {}
    if "s4" in states:
        fields["placed"] = _placed(states["s4"])
    if since := succession_text(result.since):
        fields["since"] = since
    fields["data root"] = location
    fields["identity"] = f"seed {result.identity['seed']}, list {list_}, parameters {parameters}"
    fields["states"] = ", ".join(_groups(result.outcomes))
    print_fields(fields, 10)
    if "s9" in states:
        _print_verdict(states["s9"], odd_of(result))
        _print_next(result, location, dictionary)


def succession_text(since: Succession | None) -> str | None:
    """Return how outlets follow those of an earlier list, in one line; None without one."""
    if since is None:
        return None
    counts = {name: count for name, count in since.counts.items() if isinstance(count, int)}
    listed = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    return f"{listed}; list {since.fingerprint[:8]}"


def _placed(plan: Outcome) -> str:
    report = plan.report
    return (
        f"{_of(report['sites_total'], 'outlet')} of {_of(report['merchants_total'], 'merchant')} "
        f"in {_of(len(report['quality_by_country']), 'country', 'countries')}, "
        f"law {report['law']}, collapse index {report['collapse_index']:.3f}"
    )


def _of(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _groups(outcomes: tuple[Outcome, ...]) -> Iterator[str]:
    """Yield the states by outcome: `S0 unchanged`, `S1-S9 reused`."""
    for what, members in groupby(outcomes, lambda outcome: outcome.what):
        names = [outcome.state.upper() for outcome in members]
        ends = names[0] if len(names) == 1 else f"{names[0]}-{names[-1]}"
        yield f"{ends} {what}"


def _print_verdict(proof: Outcome, odd: list[str]) -> None:
    checks = read_object(proof.paths["validation_bundle_1B"] / "s9_summary.json")["checks"]
    verdict = "passed" if proof.report["verdict"] == "PASS" else "failed"
    flag = proof.report["flag_sha256_hex"][:_DIGITS]
    earlier = ", proved earlier (--verify hashes all files)" if proof.reused else ""
    print_rich(f"correct    S9: {verdict}, {_of(len(checks), 'check')}; flag {flag}{earlier}")
    if not odd:
        print_rich("plausible  nothing looks odd: no piles, tile errors or empty regions")
        return
    shown = odd if len(odd) <= _SHOWN else [*odd[: _SHOWN - 1], f"{len(odd) - 1} more (--verbose)"]
    for number, sentence in enumerate(shown):
        print_rich("plausible " if number == 0 else " " * 10, Text(f"look: {sentence}", "yellow"))


def _print_next(result: RunResult, location: str, dictionary: Path | None) -> None:
    root = f" --data-root {shlex.quote(location)}"
    lists = outlet_lists(result.root, contracts.load(dictionary))
    if len(lists) > 1:
        fingerprint = result.identity["manifest_fingerprint"]
        root += "".join(f" --list {one.label}" for one in lists if one.fingerprint == fingerprint)
    print("next:")
    print(f"  segment1b export{root} --out outlets.csv")
    print(f"  segment1b page{root} --out report.html")
    print(f"  segment1b validate{root}")
