"""Event logs as JSON lines, one per event, rejected attempts replayed from their counters.

Source: place.md §1 "Event logs" and §3. Words come from numpy's own Philox.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segment1b.contracts import Contracts
from segment1b.contracts.locations import nearest
from segment1b.errors import Segment1BError, redo
from segment1b.identity import canonical_json
from segment1b.read.export import check_new, new_file
from segment1b.read.redraw import BOUNDS, Jitter, Site, Tile, country_word, u01
from segment1b.storage.durable import read_object
from segment1b.storage.reader import Reader
from segment1b.storage.receipts import key_words

KEY: Final = ("merchant_id", "legal_country_iso", "site_order")
_MISSING: Final = {
    "rng_audit_log": "E507_RNG_EVENT_MISMATCH",
    "rng_event_site_tile_assign": "E507_RNG_EVENT_MISMATCH",
    "s5_site_tile_assignment": "E601_ROW_MISSING",
    "rng_event_in_cell_jitter": "E609_RNG_EVENT_COUNT",
    "s6_site_jitter": "E609_RNG_EVENT_COUNT",
    "tile_bounds": "E606_FK_TILE_INDEX",
}
_READS: Final = (*_MISSING, "parameter_policy_1B", "world_countries")
_SURFACE: Final = 2
Floats: TypeAlias = npt.NDArray[np.float64]
UInt64s: TypeAlias = npt.NDArray[np.uint64]
Lines: TypeAlias = Iterator[dict[str, Any]]


def rng_export(
    root: Path, contracts: Contracts, tokens: Mapping[str, object], stream: str, out: Path
) -> int:
    """Write the events of one stream as JSON lines; return how many.

    `rng_counter_before` is the counter of the event's block, `rng_counter_after` the next one.

    Args:
        root: the data root.
        contracts: its dictionary.
        tokens: seed, manifest_fingerprint, parameter_hash and run_id.
        stream: site_tile_assign (S5) or in_cell_jitter (S6).
        out: the file; it must not exist, and appears only when it is whole.

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
    reader = Reader(root, contracts, tokens, _READS, "E510_DISALLOWED_READ", _MISSING, {})
    reader.fetch(_READS)
    audit = read_object(reader.file("rng_audit_log"))
    common = {
        **{name: audit[name] for name in ("ts_utc", "run_id", "seed")},
        **{name: audit[name] for name in ("parameter_hash", "manifest_fingerprint")},
        "module": module,
        "substream_label": stream,
        "blocks": 1,
    }
    with new_file(out) as (fresh, _), fresh.open("wb") as file:
        return _write(file, common, events(reader, int(audit["seed"])))


def _write(file: BinaryIO, common: Mapping[str, Any], events: Lines) -> int:
    count = 0
    for event in events:
        file.write(canonical_json({**common, **event}))
        count += 1
    file.flush()
    return count


def _assignments(reader: Reader, _seed: int) -> Lines:
    """Yield S5's events: a word a site."""
    log = reader.partition("rng_event_site_tile_assign")
    if not log.receipt.rows:
        return  # The match `own_point` draws nothing.
    for events, sites in _together(reader, log.dataset.id, ["word"], _S5, ["tile_id"]):
        u = u01(events.column("word").to_numpy()).tolist()
        tiles = sites.column("tile_id").to_pylist()
        for key, tile, one in zip(_keys(events), tiles, u, strict=True):
            yield {**_event(key, 1), "draws": "1", "tile_id": tile, "u": one}


def _attempts(reader: Reader, seed: int) -> Lines:
    """Yield S6's events: two words an attempt, the last of which a site's point is."""
    names = ["tile_id", "delta_lon_deg", "delta_lat_deg"]
    source = _together(
        reader, "rng_event_in_cell_jitter", ["blocks", "lane"], "s6_site_jitter", names
    )
    jitter = Jitter(reader, seed)
    for events, sites in source:
        yield from _replayed(events, sites, _Tiles.of(reader, events, sites), jitter)


class _Tiles(NamedTuple):
    """The bounds of the tiles of some sites: float64[t, 6]; of_site int64[sites]."""

    bounds: Floats
    of_site: npt.NDArray[np.int64]

    @classmethod
    def of(cls, reader: Reader, events: pa.Table, sites: pa.Table) -> _Tiles:
        """Read the bounds of the tiles that the sites use, and of no other."""
        record = np.dtype([("country", "u2"), ("tile", "u8")])
        wanted = np.empty(sites.num_rows, record)
        wanted["country"] = key_words(events.column("legal_country_iso"))
        wanted["tile"] = sites.column("tile_id").to_numpy()
        used, index = np.unique(wanted, return_inverse=True)
        bounds = np.full((len(used), len(BOUNDS)), np.nan)
        codes = [word.to_bytes(2, "big").decode() for word in np.unique(used["country"]).tolist()]
        where = {"country_iso": (codes[0], codes[-1])}
        columns = ["country_iso", "tile_id", *BOUNDS]
        for table in reader.row_groups(reader.partition("tile_bounds"), columns, where):
            # A row group never spans two countries, and its tiles ascend.
            country = int(key_words(table.column(0))[0])
            low, high = np.searchsorted(used["country"], [country, country + 1])
            ids = table.column(1).to_numpy()
            at = np.searchsorted(ids, used["tile"][low:high])
            found = np.flatnonzero(ids[np.minimum(at, len(ids) - 1)] == used["tile"][low:high])
            for column, name in enumerate(BOUNDS):
                bounds[low + found, column] = table.column(name).to_numpy()[at[found]]
        if np.isnan(bounds).any():
            tile = int(used["tile"][np.isnan(bounds).any(axis=1)][0])
            raise Segment1BError(
                "E606_FK_TILE_INDEX",
                f"tile {tile} has no row in tile_bounds",
                redo("s1"),
                tile_id=tile,
            )
        return cls(bounds, index)


def _replayed(events: pa.Table, sites: pa.Table, tiles: _Tiles, jitter: Jitter) -> Lines:
    blocks, lanes = (events.column(name).to_pylist() for name in ("blocks", "lane"))
    lon, lat = (sites.column(f"delta_{axis}_deg").to_pylist() for axis in ("lon", "lat"))
    for row, site in enumerate(_keys(events)):
        tile = Tile(*tiles.bounds[tiles.of_site[row]].tolist())
        for attempt in jitter.attempts(site, tile, blocks[row]):
            accepted = attempt.number == blocks[row] and lanes[row] != _SURFACE
            if accepted and attempt.offset != (lon[row], lat[row]):
                raise _differs(site, attempt.offset, (lon[row], lat[row]))
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


def _differs(
    site: Site, found: tuple[float, float], published: tuple[float, float]
) -> Segment1BError:
    return Segment1BError(
        "E914_DRAW_REPLAY_MISMATCH",
        f"site {site}: the draws give the offset {found}, published is {published}",
        "log, dataset, tiles or borders were changed after they were published",
        **dict(zip(KEY, site, strict=True)),
    )


def _together(
    reader: Reader, log: str, log_columns: list[str], data: str, data_columns: list[str]
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Yield the row groups of an event log beside those of its dataset, of the same sites."""
    streams = [
        reader.row_groups(reader.partition(dataset_id), [*KEY, *columns])
        for dataset_id, columns in ((log, log_columns), (data, data_columns))
    ]
    while True:
        events, sites = (next(stream, None) for stream in streams)
        if events is None and sites is None:
            return
        if events is None or sites is None or not _same_sites(events, sites):
            raise Segment1BError(
                _MISSING[log],
                f"{log} and {data} are not about the same sites",
                f"restore both, or {reader.dataset(log).redo}",
                dataset=log,
            )
        if events.num_rows:
            yield events, sites


def _same_sites(events: pa.Table, sites: pa.Table) -> bool:
    return all(
        np.array_equal(key_words(events.column(name)), key_words(sites.column(name)))
        for name in KEY
    )


def _keys(table: pa.Table) -> Iterator[Site]:
    return zip(*(table.column(name).to_pylist() for name in KEY), strict=True)


def _event(site: Site, attempt: int) -> dict[str, Any]:
    merchant, country, order = site
    high = f"{country_word(country):016x}{merchant:016x}{order:016x}"
    return {
        **dict(zip(KEY, site, strict=True)),
        "rng_counter_before": f"{high}{attempt:016x}",
        "rng_counter_after": f"{high}{attempt + 1:016x}",
    }


_S5: Final = "s5_site_tile_assignment"
_STREAMS: Final[dict[str, tuple[str, Callable[[Reader, int], Lines]]]] = {
    "site_tile_assign": ("1B.S5.assigner", _assignments),
    "in_cell_jitter": ("1B.S6.jitter", _attempts),
}
STREAMS = tuple(_STREAMS)
