"""The Python interface: run the states, then read, check and explain what they published.

Every function is also an attribute of the package.

Examples:
    >>> import segment1b
    >>> result = segment1b.run({"data_root": "segment1b-data"})
    >>> result.s9.report["verdict"]
    'PASS'

A data root is a folder or the URL of an object store (`s3://bucket/prefix`). Every failure is a
`segment1b.errors.Segment1BError` with a code, a message and a hint.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from segment1b import contracts
from segment1b.contracts import Contracts
from segment1b.contracts.locations import read_yaml
from segment1b.errors import Segment1BError
from segment1b.identity import canonical_json
from segment1b.read.gate import find_places, open_parts, proven_paths, read_site_locations
from segment1b.storage.root import find_root
from segment1b.storage.snapshot import Snapshot

if TYPE_CHECKING:
    import pyarrow as pa

    from segment1b.audit import CheckResult
    from segment1b.audit.published_files import Published
    from segment1b.config import RunSettings
    from segment1b.pipeline.execution import Progress
    from segment1b.pipeline.outcome import RunResult

__all__ = [
    "PassedSnapshot",
    "Which",
    "diff",
    "explain",
    "export",
    "open",
    "read_site_locations",
    "replay",
    "run",
    "validate",
]

LOG = logging.getLogger("segment1b")
STATES = tuple(f"s{number}" for number in range(10))


class Which(TypedDict, total=False):
    """Keywords that choose one identity of a data root; the root's only one by default.

    Attributes:
        seed: unsigned 64-bit number.
        manifest_fingerprint: which outlets, 64 hexadecimal digits.
        parameter_hash: which policies and reference surfaces, 64 hexadecimal digits.
        dictionary: another dataset dictionary than the packaged one.
    """

    seed: int | None
    manifest_fingerprint: str | None
    parameter_hash: str | None
    dictionary: Path | None


def run(
    config: RunSettings | Mapping[str, Any] | Path | str, progress: Progress | None = None
) -> RunResult:
    """Run the states; what is published and current is reused.

    Examples:
        >>> result = segment1b.run({"data_root": "segment1b-data", "to_state": "s4"})
        >>> result.s4.alloc_sum_equals_requirements
        True

    Args:
        config: the options of `segment1b run` by name, with underscores; or the path of a YAML
            file of such a mapping, in which relative paths start at the working directory.
        progress: called with every event of the run; its kind is plan, begin, advance, published
            or reused.

    Returns:
        The outcome of each state: `result.s4.alloc_plan_path`, `result.s9.report`, ...

    Raises:
        Segment1BError: E_USAGE for an unknown option or a bad value, else the code of the failure
            that stopped the run; what was published before is kept.
    """
    from segment1b.config import RunSettings, run_settings
    from segment1b.pipeline.execution import run_pipeline, silent

    if isinstance(config, Mapping):
        config = run_settings(config, "scenario")
    elif not isinstance(config, RunSettings):
        config = run_settings(read_yaml(Path(config), "E_USAGE"), str(config))
    return run_pipeline(config, progress or silent)


class PassedSnapshot(Snapshot):
    """One identity of a data root, whose sites have passed."""

    @property
    def sites(self) -> pa.Table:
        """Return merchant_id, legal_country_iso, site_order, lon_deg and lat_deg in key order.

        Raises:
            Segment1BError: as `read_site_locations`; every byte is hashed before it is read.
        """
        paths = proven_paths(self.root, self.contracts, self.tokens)
        return open_parts(paths, self.contracts["site_locations"]).to_table()


def open(root: str | Path, **which: Unpack[Which]) -> PassedSnapshot:  # noqa: A001 - segment1b.open
    """Open the identity of a data root that passed.

    Examples:
        >>> segment1b.open("segment1b-data").sites.column_names[:2]
        ['merchant_id', 'legal_country_iso']

    Raises:
        Segment1BError: E908_BUNDLE_CONTENTS_MISSING when none passed; E_USAGE when several did.
    """
    return PassedSnapshot(*_located(root, **which))


def validate(
    root: str | Path,
    states: Sequence[str] = STATES,
    *,
    validation_bundle: Path | None = None,
    perf: bool = False,
    **which: Unpack[Which],
) -> list[CheckResult]:
    """Check published states independently of the code that made them.

    Once S1 and S2 have passed, the tile proof is stored in the root, and S9 need not check the
    same tiles again.

    Examples:
        >>> all(check.ok for check in segment1b.validate("segment1b-data", ["s8"]))
        True

    Args:
        root: the data root.
        states: of s0 to s9.
        validation_bundle: the bundle of segment 1A, if it is not in the root.
        perf: check the budgets of time and memory too.
        **which: the identity, see `Which`.

    Returns:
        One result for each check, in a fixed order; `result.ok` is its conclusion.
    """
    from segment1b.audit import validate_published
    from segment1b.audit.published_files import Published
    from segment1b.pipeline.decide import find_identity

    folder = find_root(root)
    dictionary = which.pop("dictionary", None)
    known, identity = find_identity(folder, dictionary, which)
    published = Published(folder, known, identity.tokens, validation_bundle)
    results = validate_published(published, states, perf=perf)
    _store_tile_proof(published, results)
    return results


def export(
    root: str | Path,
    out: str | Path,
    *,
    format: str = "geoparquet",  # noqa: A002 - as on the command line
    countries: Sequence[str] = (),
    merchants: Sequence[int] = (),
    **which: Unpack[Which],
) -> int:
    """Write the sites that passed into one new file; return their number.

    Examples:
        >>> segment1b.export("segment1b-data", "nl.csv", format="csv", countries=["NL"]) > 0
        True

    Args:
        root: the data root.
        out: the file, which must not exist; it appears only when it is complete.
        format: geoparquet, csv, geojsonseq or flatgeobuf.
        countries: ISO codes to write; all by default.
        merchants: merchant_ids to write; all by default.
        **which: the identity, see `Which`.

    Raises:
        Segment1BError: as `read_site_locations`; E_USAGE for an unknown format, a file that
            exists, or when no site matches.
    """
    from segment1b.read.export import export

    return export(*_located(root, **which), format, Path(out), countries, merchants)


def diff(
    old: str | Path,
    new: str | Path,
    *,
    old_fingerprint: str | None = None,
    new_fingerprint: str | None = None,
    dictionary: Path | None = None,
) -> dict[str, Any]:
    """Count the sites that were added, removed and moved between two roots, by country.

    Examples:
        >>> segment1b.diff("segment1b-data", "segment1b-data")["total"]["moved"]
        0

    Returns:
        `old` and `new` (tokens, rows), `total` and `by_country`, each with kept, added, removed,
        moved, moved_p50_km (to 0.1 %) and moved_max_km.

    Raises:
        Segment1BError: as `read_site_locations`, for either root.
    """
    from segment1b.read.diff import diff

    return diff(
        find_root(old),
        find_root(new),
        old={"manifest_fingerprint": old_fingerprint},
        new={"manifest_fingerprint": new_fingerprint},
        dictionary=dictionary,
    )


def explain(
    root: str | Path, merchant: int, country: str, **which: Unpack[Which]
) -> dict[str, Any]:
    """Explain how the sites of a merchant in a country were allotted to tiles.

    Examples:
        >>> segment1b.explain("segment1b-data", 259, "DE")["agrees"]
        True

    Returns:
        Law, number of sites and a row for each tile; `agrees` tells whether the law, applied
        again, gives the published plan.

    Raises:
        Segment1BError: E_USAGE when the merchant has no sites in the country.
    """
    from segment1b.read.explanation import explain

    dictionary = which.pop("dictionary", None)
    return explain(Path(root), merchant, country, which, dictionary)


def replay(
    root: str | Path, merchant: int, country: str, site: int, **which: Unpack[Which]
) -> dict[str, Any]:
    """Derive the coordinate of one site again, draw by draw.

    Examples:
        >>> segment1b.replay("segment1b-data", 259, "DE", site=3)["agrees"]
        True

    Args:
        root: the data root.
        merchant: merchant_id.
        country: two upper-case letters.
        site: site_order, from 1.
        **which: the identity, see `Which`.

    Returns:
        Tile, attempts with their random words, and the point; `agrees` tells whether it is the
        published one.

    Raises:
        Segment1BError: E_USAGE when there is no such site.
    """
    from segment1b.read.replay import replay

    dictionary = which.pop("dictionary", None)
    return replay(Path(root), merchant, country, site, which, dictionary)


def _located(
    root: str | Path, **which: Unpack[Which]
) -> tuple[Path, Contracts, Mapping[str, int | str]]:
    dictionary = which.pop("dictionary", None)
    folder = find_root(root)
    known = contracts.load(str(dictionary) if dictionary else None)
    return folder, known, find_places(folder, known, which)


def _store_tile_proof(published: Published, results: Sequence[CheckResult]) -> None:
    """Store the tile proof if S1 and S2 passed; log a warning where the root cannot be written."""
    from segment1b.audit import tile_proof
    from segment1b.storage.durable import make_folder
    from segment1b.storage.publisher import publish_file
    from segment1b.storage.staging import STAGING, staging

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
        LOG.warning("the tile proof is not stored, S9 will run these checks again: %s", error)
