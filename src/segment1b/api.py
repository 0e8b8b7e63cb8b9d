"""The Python interface: run the states, then open and check what they published.

Every function is also an attribute of the package, with those that read and explain.

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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from segment1b.contracts.locations import read_yaml
from segment1b.errors import Segment1BError
from segment1b.identity import STATE_NAMES, canonical_json
from segment1b.read.gate import Which, locate, open_parts, proven_paths
from segment1b.storage.root import find_root
from segment1b.storage.snapshot import Snapshot

if TYPE_CHECKING:
    import pyarrow as pa

    from segment1b.audit import CheckResult
    from segment1b.audit.published_files import Published
    from segment1b.config import RunSettings
    from segment1b.pipeline.execution import Progress
    from segment1b.pipeline.outcome import RunResult

__all__ = ["PassedSnapshot", "open", "run", "validate"]

LOG = logging.getLogger("segment1b")


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
        return open_parts(proven_paths(self), self.contracts["site_locations"]).to_table()


def open(root: str | Path, **which: Unpack[Which]) -> PassedSnapshot:  # noqa: A001 - segment1b.open
    """Open the identity of a data root that passed.

    Examples:
        >>> segment1b.open("segment1b-data").sites.column_names[:2]
        ['merchant_id', 'legal_country_iso']

    Raises:
        Segment1BError: E908_BUNDLE_CONTENTS_MISSING when none passed; E_USAGE when several did.
    """
    return PassedSnapshot(**vars(locate(root, **which)))


def validate(
    root: str | Path,
    states: Sequence[str] = STATE_NAMES,
    *,
    validation_bundle: Path | None = None,
    perf: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
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
        progress: called with a state, how many of its checks are done, and how many it has.
        **which: the identity, see `Which`.

    Returns:
        One result for each check, in a fixed order; `result.ok` is its conclusion. Offending rows
        have the column `merchant` where the list has another id than the number.
    """
    from segment1b.audit import validate_published, with_trades
    from segment1b.audit.published_files import Published
    from segment1b.audit.runner import silent
    from segment1b.outlets.merchant_names import Naming
    from segment1b.pipeline.finding import find_identity

    folder = find_root(root)
    dictionary = which.pop("dictionary", None)
    known, identity = find_identity(folder, dictionary, which)
    published = Published(folder, known, identity.tokens, validation_bundle)
    every = with_trades(states)
    results = validate_published(published, every, perf=perf, progress=progress or silent)
    _store_tile_proof(published, results)
    naming = Naming(folder, known, identity.manifest_fingerprint)
    return [replace(result, rows=naming.rows(result.rows)) for result in results]


def _store_tile_proof(published: Published, results: Sequence[CheckResult]) -> None:
    """Store the tile proof if S1 and S2 passed; log a warning where the root cannot be written."""
    from segment1b.audit import tile_proof
    from segment1b.storage.durable import make_folder
    from segment1b.storage.root import root_at
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
            root_at(root).replace(dataset.locate(published.tokens), proof, scratch)
    except (Segment1BError, OSError) as error:
        LOG.warning("the tile proof is not stored, S9 will run these checks again: %s", error)
