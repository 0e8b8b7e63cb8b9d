"""Scenarios side by side: the same outlets under several policies, and what sets them apart."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segment1b import contracts
from segment1b.config import RunSettings, load_policy, run_settings
from segment1b.contracts.locations import read_yaml, refuse_unknown
from segment1b.contracts.urls import url_of
from segment1b.errors import Segment1BError
from segment1b.outlets.merchant_trades import DATASET
from segment1b.pipeline.execution import Event, Progress, run_pipeline, silent
from segment1b.pipeline.outcome import RunResult
from segment1b.reference.installing import SURFACES
from segment1b.states.quality import nearest_km
from segment1b.storage.durable import write_file
from segment1b.storage.site_tables import Wanted, coordinates, site_tables
from segment1b.storage.sql import open_database, parquet_table

#: What a scenario may say beside its name; the comparison decides the rest.
FIELDS = ("policy_files", "settings", "outlets", "seed")
#: Coordinates are needed, the proof is not: S9 says nothing of how scenarios differ.
LAST_STATE, LAST_OF_GROWTH = "s8", "s5"


def compare(
    files: Sequence[Path],
    common: RunSettings,
    data_root: Path | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Run scenarios over the same outlets and measure what sets them apart.

    Args:
        files: names of packaged scenarios (one for each allocation method), or YAML files with
            `name` (the file's stem when absent), `policy_files`, `settings`,
            `outlets` and `seed`; relative paths start at the working directory.
        common: outlets, engine and workers of all of them.
        data_root: each scenario gets the data root of its name below this folder; they are
            temporary when it is None.
        progress: called with every event of the runs.

    Returns:
        `outlets` (manifest_fingerprint) and `scenarios`, in order: `figures` of each.

    Raises:
        Segment1BError: E_USAGE for files that cannot be compared, else as `run_pipeline`.
    """
    scenarios = read_scenarios(files)
    if data_root is not None and url_of(data_root) is not None:
        what = f"{data_root} is not a directory"
        raise Segment1BError("E_USAGE", what, "compare in a folder of this machine")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="segment1b-compare-") as name:
        scratch, first = Path(name), None
        for scenario, own in scenarios.items():
            root = (data_root or scratch) / scenario
            named = functools.partial(_named, scenario, progress)
            asked = _over(own, common, root)
            if first and _prep(asked) == first.policy["prep"]:
                asked = asked.model_copy(update={"world": first.root})
            result = run_pipeline(asked, named)
            first = first or result
            _check_outlets(next(iter(scenarios)), first, scenario, result)
            named = functools.partial(_named, f"{scenario} grown", progress)
            grown = _grow(result, common, scratch / "grown" / scenario, named)
            rows.append(
                {
                    "name": scenario,
                    "data_root": None if data_root is None else str(result.root),
                    **figures(result),
                    "moved": moved(first, result),
                    "moved_by_growth": moved(result, grown),
                }
            )
    return {"outlets": rows[0]["manifest_fingerprint"], "scenarios": rows}


def read_scenarios(files: Sequence[Path]) -> dict[str, RunSettings]:
    """Return the settings of scenario files by the names of the scenarios.

    Raises:
        Segment1BError: E_USAGE, naming the file and what is wrong in it.
    """
    if len(files) < 2:
        raise Segment1BError("E_USAGE", "one scenario is no comparison", "name two files or more")
    found: dict[str, RunSettings] = {}
    for file in files:
        values = read_yaml(_packaged(file), "E_USAGE")
        name = values.pop("name", file.stem)
        if not isinstance(name, str) or not name.replace("-", "").replace("_", "").isalnum():
            what = f"{file}: name {name!r} cannot be a folder's"
            raise Segment1BError("E_USAGE", what, "letters, digits, '-' and '_' make one")
        if name in found:
            what = f"{file}: there is a scenario '{name}' already"
            raise Segment1BError("E_USAGE", what, "give it a 'name:' of its own")
        what = "'{}' is not a key of a scenario that is compared"
        refuse_unknown(values, ("name", *FIELDS), "E_USAGE", str(file), what)
        found[name] = run_settings(values, str(file))
    return found


def _packaged(file: Path) -> Path:
    """Return the packaged scenario of that name where there is no such file; else the file."""
    packaged = Path(str(resources.files("segment1b"))) / "starter" / "scenarios" / f"{file}.yaml"
    bare = file.name == str(file) and not file.exists()
    return packaged if bare and packaged.is_file() else file


def _named(name: str, progress: Progress, event: Event) -> None:
    """Pass an event on, its state prefixed by the name of a scenario."""
    progress(replace(event, state=f"{name} {event.state}"))


def _over(own: RunSettings, common: RunSettings, root: Path) -> RunSettings:
    update = {name: getattr(own, name) for name in FIELDS}
    update |= {"outlets": own.outlets or common.outlets, "data_root": root}
    return common.model_copy(update=update | {"to_state": LAST_STATE})


def _prep(settings: RunSettings) -> dict[str, Any]:
    """Return the policy by which a scenario prepares tiles and weights."""
    policy = load_policy(settings.policy_files, settings.settings)
    return policy.prep.model_dump(mode="json")


def _check_outlets(first: str, was: RunResult, name: str, now: RunResult) -> None:
    lists = [str(result.identity["manifest_fingerprint"]) for result in (was, now)]
    if lists[0] != lists[1]:
        what = f"{first} is about the outlets {lists[0]}, {name} about {lists[1]}"
        raise Segment1BError("E_USAGE", what, "compare scenarios over one outlet list")


def _grow(result: RunResult, common: RunSettings, root: Path, progress: Progress) -> RunResult:
    """Plan and assign again where every merchant has one outlet more in each of its countries."""
    root.mkdir(parents=True)
    outlets, policy = root.with_suffix(".csv"), root.with_suffix(".yaml")
    pairs = (
        "SELECT merchant_id, legal_country_iso AS country_iso, n_sites + 1 AS n_outlets "  # noqa: S608
        f"FROM {_table(result, 's3')} ORDER BY ALL"
    )
    trades = sorted((result.root / "data").glob(f"layer1/1A/{DATASET}/*/*/part-*.parquet"))
    if trades:
        pairs = f"SELECT * FROM ({pairs}) LEFT JOIN {parquet_table(trades)} USING (merchant_id)"  # noqa: S608
    with open_database() as database:
        database.sql(pairs).write_csv(str(outlets))
    own = {name: section for name, section in result.policy.items() if name != "trades"}
    write_file(policy, json.dumps(own).encode())
    # The surfaces are only read, so they need not be laid twice.
    top = Path(contracts.load()[SURFACES[0]].locate({})).parts[0]
    (root / top).symlink_to(result.root / top, target_is_directory=True)
    update: dict[str, Any] = {"data_root": root, "outlets": outlets, "policy_files": (policy,)}
    update |= {"seed": result.identity["seed"], "to_state": LAST_OF_GROWTH, "world": result.root}
    return run_pipeline(common.model_copy(update=update), progress)


def figures(result: RunResult) -> dict[str, Any]:
    """Return what is measured of one run, S0 to S8.

    Returns:
        The tokens, `law`, `sites`, `distinct_tiles`, `collapse_index`, `tile_load_error_max` (of
        any tile, in sites), `tile_load_error_p99` and `top_five_share` (means over countries,
        each counted by its sites), `top_five_weight` (the same of the prior), `nearest_p10_km`,
        `nearest_p50_km` and `seconds` (of its states, when they ran).
    """
    quality = result.s4.report["quality_by_country"]
    sites = {code: own["sites"] for code, own in quality.items()}
    heavy = dict(_query(_TOP_FIVE.format(_table(result, "s2"))))
    km = _nearest_km(result)
    seconds = [o.report["resources"]["wall_clock_seconds_total"] for o in result.outcomes]
    return {
        **result.identity,
        "law": result.policy["allocation"]["law"],
        "sites": result.s4.report["sites_total"],
        "distinct_tiles": sum(own["distinct_tiles"] for own in quality.values()),
        "collapse_index": result.s4.report["collapse_index"],
        "tile_load_error_max": max(own["tile_load_error_max"] for own in quality.values()),
        **{
            name: _mean({code: own[name] for code, own in quality.items()}, sites)
            for name in ("tile_load_error_p99", "top_five_share")
        },
        "top_five_weight": _mean(heavy, sites),
        "nearest_p10_km": round(float(np.percentile(km, 10)), 3) if len(km) else None,
        "nearest_p50_km": round(float(np.percentile(km, 50)), 3) if len(km) else None,
        "seconds": round(sum(seconds), 1),
    }


def moved(was: RunResult, now: RunResult) -> dict[str, int] | None:
    """Return of how many outlets that both runs have how many stand in another tile.

    An outlet is known by merchant, country and site_order.

    Returns:
        `outlets` and `moved`; None when the tiles of the two are cut from different grids.
    """
    if was.s1.report["grid_dims"] != now.s1.report["grid_dims"]:
        return None
    both = (
        f"{_table(was, 's5')} a JOIN {_table(now, 's5')} b "
        "USING (merchant_id, legal_country_iso, site_order)"
    )
    ((common, changed),) = _query(
        f"SELECT count(*), count(*) FILTER (a.tile_id <> b.tile_id) FROM {both}"  # noqa: S608
    )
    return {"outlets": common, "moved": changed}


_TABLES = {
    "s2": "tile_weights",
    "s3": "s3_requirements",
    "s5": "s5_site_tile_assignment",
    "s8": "site_locations",
}
_TOP_FIVE = """
    SELECT country_iso, sum(weight_fp) FILTER (place <= 5) / sum(weight_fp) FROM (
        SELECT country_iso, weight_fp,
               row_number() OVER (PARTITION BY country_iso ORDER BY weight_fp DESC) AS place
        FROM {}
    ) GROUP BY ALL
"""


def _table(result: RunResult, state: str) -> str:
    return parquet_table(_parts(result, state))


def _parts(result: RunResult, state: str) -> list[Path]:
    return sorted(result.state(state).paths[_TABLES[state]].iterdir())


def _query(sql: str) -> list[tuple[Any, ...]]:
    with open_database() as database:
        return database.execute(sql).fetchall()


def _nearest_km(result: RunResult) -> npt.NDArray[np.float64]:
    tables = site_tables(_parts(result, "s8"), Wanted(), ("lon_deg", "lat_deg"))
    columns = [coordinates(table) for table in tables]
    lon, lat = (np.concatenate([own[axis] for own in columns]) for axis in range(2))
    sample = int(result.policy["realism"]["neighbour_sample"])
    return nearest_km(lon, lat, sample, int(result.identity["seed"]))


def _mean(values: Mapping[str, float], sites: Mapping[str, int]) -> float:
    """Return the mean over countries, each counted by its sites."""
    return sum(float(values[code]) * n for code, n in sites.items()) / sum(sites.values())
