"""Exports the random events of S5 or S6 as JSON lines, rejected attempts included.

Source: docs/spec/random-numbers.md#event-logs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

from duckdb import DuckDBPyConnection as Database

from segment1b.contracts.locations import nearest
from segment1b.errors import Segment1BError
from segment1b.identity import canonical_json
from segment1b.read.export import check_new, new_file
from segment1b.read.redraw import BOUNDS, Jitter, Site, Tile, columns_of, country_word, u01
from segment1b.read.redraw_centres import CentreDraws, CentreTile
from segment1b.storage.durable import read_object
from segment1b.storage.reader import Reader
from segment1b.storage.snapshot import Snapshot
from segment1b.storage.sql import open_database, parquet_table

_MISSING: Final = {
    "rng_audit_log": "E507_RNG_EVENT_MISMATCH",
    "rng_event_site_tile_assign": "E507_RNG_EVENT_MISMATCH",
    "s5_site_tile_assignment": "E601_ROW_MISSING",
    "rng_event_in_cell_jitter": "E609_RNG_EVENT_COUNT",
    "s6_site_jitter": "E609_RNG_EVENT_COUNT",
    "tile_bounds": "E606_FK_TILE_INDEX",
    "tile_index": "E606_FK_TILE_INDEX",
    "tile_centres": "E606_FK_TILE_INDEX",
    "rng_event_centre_jitter": "E609_RNG_EVENT_COUNT",
}
_READS: Final = (*_MISSING, "parameter_policy_1B", "world_countries")
_SURFACE: Final = 2
_ROWS_AT_ONCE: Final = 65_536
_KEY: Final = "merchant_id, legal_country_iso, site_order"
# A log with the dataset of the same sites.
_JOINED: Final = f"FROM {{}} AS event FULL JOIN {{}} AS site USING ({_KEY})"
_ASSIGNMENTS: Final = f"SELECT {_KEY}, word, tile_id {_JOINED} ORDER BY {_KEY}"
_CENTRES: Final = f"""
    SELECT {_KEY}, blocks, centre, site.tile_id, delta_lon_deg, delta_lat_deg, pixel_area_m2,
        centres, {", ".join(BOUNDS)}
    FROM {{}} AS event LEFT JOIN {{}} AS site USING ({_KEY})
    LEFT JOIN {{}} AS tile
    ON tile.country_iso = legal_country_iso AND tile.tile_id = site.tile_id
    LEFT JOIN {{}} AS listed
    ON listed.country_iso = legal_country_iso AND listed.tile_id = site.tile_id
    LEFT JOIN {{}} AS counted
    ON counted.country_iso = legal_country_iso AND counted.tile_id = site.tile_id
    ORDER BY {_KEY}
"""  # noqa: S608
_POINTS: Final = f"""
    SELECT {_KEY}, blocks, lane, site.tile_id, delta_lon_deg, delta_lat_deg, {", ".join(BOUNDS)}
    {_JOINED} LEFT JOIN {{}} AS tile
    ON tile.country_iso = legal_country_iso AND tile.tile_id = site.tile_id
    ORDER BY {_KEY}
"""
# The sites of a table that are not at a centre by a log.
_OFF_CENTRES: Final = f"(FROM {{}} ANTI JOIN (FROM {{}} WHERE centre > 0) USING ({_KEY}))"
_Events: TypeAlias = Iterator[dict[str, Any]]


def rng_export(published: Snapshot, stream: str, out: Path) -> int:
    """Write the events of one stream as JSON lines; return how many.

    `rng_counter_before` is the counter of the event's block, `rng_counter_after` the next one.

    Raises:
        Segment1BError: E_USAGE for an unknown stream or a file that exists; E507, E609 when log
            and dataset differ, E914_DRAW_REPLAY_MISMATCH when a replayed offset is not the
            published one.
    """
    if stream not in _STREAMS:
        raise Segment1BError("E_USAGE", f"stream '{stream}' is unknown", nearest(stream, _STREAMS))
    out = Path(os.path.abspath(out))
    check_new(out)
    module, events = _STREAMS[stream]
    reader = Reader(published, _READS, "E510_DISALLOWED_READ", _MISSING)
    reader.fetch(_READS)
    audit = read_object(reader.file("rng_audit_log"))
    names = ("ts_utc", "run_id", "seed", "parameter_hash", "manifest_fingerprint")
    common = {name: audit[name] for name in names}
    common |= {"module": module, "substream_label": stream, "blocks": 1}
    count = 0
    with new_file(out) as (fresh, _), fresh.open("wb") as file, open_database() as database:
        for event in events(database, reader, int(audit["seed"])):
            file.write(canonical_json({**common, **event}))
            count += 1
    return count


def _assignments(database: Database, reader: Reader, _seed: int) -> _Events:
    """Yield S5's events, one a site; the match `own_point` draws nothing."""
    log, data = "rng_event_site_tile_assign", "s5_site_tile_assignment"
    if not reader.partition(log).receipt.rows:
        return
    tables = (_table(reader, name) for name in (log, data))
    for *key, word, tile_id in _rows(database, _ASSIGNMENTS, *tables):
        if word is None or tile_id is None:
            raise _other_sites(reader, log, data)
        yield {**_event(tuple(key), 1), "draws": "1", "tile_id": tile_id, "u": u01(word)}


def _attempts(database: Database, reader: Reader, seed: int) -> _Events:
    """Yield S6's events, one an attempt, the last of which gave a site's point."""
    log, data = "rng_event_in_cell_jitter", "s6_site_jitter"
    jitter = Jitter(reader, seed)
    sites = _table(reader, data)
    if reader.snapshot.bound_policy["jitter"].get("centres"):
        sites = _OFF_CENTRES.format(sites, _table(reader, "rng_event_centre_jitter"))
    rows = _rows(database, _POINTS, _table(reader, log), sites, _table(reader, "tile_bounds"))
    for merchant, country, order, blocks, lane, tile_id, *degrees in rows:
        if blocks is None or tile_id is None:
            raise _other_sites(reader, log, data)
        if degrees[2] is None:
            what = f"tile {tile_id} has no row in tile_bounds"
            raise Segment1BError("E606_FK_TILE_INDEX", what, tile_id=tile_id)
        site, published = (merchant, country, order), tuple(degrees[:2])
        for attempt in jitter.attempts(site, Tile(*degrees[2:]), blocks):
            accepted = attempt.number == blocks and lane != _SURFACE
            if accepted and attempt.offset != published:
                raise _differs(site, attempt.offset, published)
            yield {
                **_event(site, attempt.number),
                "draws": "2",
                "attempt_index": attempt.number,
                "accepted": accepted,
                "delta_lon_deg": attempt.offset[0],
                "delta_lat_deg": attempt.offset[1],
                "sigma_lon_deg": 0.0,
                "sigma_lat_deg": 0.0,
            }


def _centre_attempts(database: Database, reader: Reader, seed: int) -> _Events:
    """Yield S6's events at centres, one an attempt; a site at a centre got it by the last."""
    policy = reader.snapshot.bound_policy["jitter"].get("centres")
    if policy is None:
        hint = "the policy of this run has no jitter.centres"
        raise Segment1BError("E_USAGE", "there are no events of centre_jitter", hint)
    draws = CentreDraws(Jitter(reader, seed), policy, seed)
    log, data = "rng_event_centre_jitter", "s6_site_jitter"
    names = (log, data, "tile_bounds", "tile_index", "tile_centres")
    rows = _rows(database, _CENTRES, *(_table(reader, name) for name in names))
    for merchant, country, order, blocks, centre, tile_id, *values in rows:
        if tile_id is None:
            raise _other_sites(reader, log, data)
        if None in values:
            what = f"tile {tile_id} has no row in {', '.join(names[2:])}"
            raise Segment1BError("E606_FK_TILE_INDEX", what, tile_id=tile_id)
        site, published = (merchant, country, order), tuple(values[:2])
        area, count, *bounds = values[2:]
        place = CentreTile(Tile(*bounds), tile_id, area, count)
        for attempt in draws.attempts(site, place, blocks):
            accepted = attempt.number == blocks and centre > 0
            if accepted and (attempt.rank, attempt.offset) != (centre, published):
                raise _differs(site, attempt.offset, published)
            lon, lat = attempt.offset or (None, None)
            yield {
                **_event(site, attempt.number),
                "draws": "4",
                "attempt_index": attempt.number,
                "accepted": accepted,
                "centre": 0 if attempt.tail else attempt.rank,
                "delta_lon_deg": lon,
                "delta_lat_deg": lat,
            }


def _table(reader: Reader, dataset_id: str) -> str:
    return parquet_table(reader.partition(dataset_id).paths)


def _rows(database: Database, query: str, *tables: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query over tables, given as SQL."""
    result = database.execute(query.format(*tables))
    while rows := result.fetchmany(_ROWS_AT_ONCE):
        yield from rows


def _event(site: Site, attempt: int) -> dict[str, Any]:
    merchant, country, order = site
    high = f"{country_word(country):016x}{merchant:016x}{order:016x}"
    return {
        **columns_of(site),
        "rng_counter_before": f"{high}{attempt:016x}",
        "rng_counter_after": f"{high}{attempt + 1:016x}",
    }


def _other_sites(reader: Reader, log: str, data: str) -> Segment1BError:
    what = f"{log} and {data} are not about the same sites"
    hint = f"restore both, or {reader.dataset(log).redo}"
    return Segment1BError(_MISSING[log], what, hint, dataset=log)


def _differs(site: Site, drawn: object, published: object) -> Segment1BError:
    what = f"site {site}: the draws give the offset {drawn}, published is {published}"
    hint = "log, dataset, tiles or borders were changed after they were published"
    return Segment1BError("E914_DRAW_REPLAY_MISMATCH", what, hint, **columns_of(site))


_STREAMS: Final[dict[str, tuple[str, Callable[[Database, Reader, int], _Events]]]] = {
    "site_tile_assign": ("1B.S5.assigner", _assignments),
    "in_cell_jitter": ("1B.S6.jitter", _attempts),
    "centre_jitter": ("1B.S6.jitter", _centre_attempts),
}
