"""S6, points: draws a point in the part of each site's tile that is in its country."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from shapely import MultiPolygon

from segment1b.errors import Segment1BError
from segment1b.geo.countries import checked_countries, country_codes
from segment1b.geo.placement import Clip, Country
from segment1b.laws.centres import SITES
from segment1b.laws.jitter import LABEL, Tiles, draws, in_box, in_tile, inside_tile, point
from segment1b.laws.philox import country_word
from segment1b.states.by_country import BOUNDS, CountryState, Int64s, Job
from segment1b.states.centres import CentredSites, Ground
from segment1b.states.protocol import Countries, Report, Run, check_conserved, check_known, total
from segment1b.states.rng_logs import event_totals, trace
from segment1b.storage.arrays import distinct
from segment1b.storage.reader import Reader
from segment1b.storage.records import Records

Floats = npt.NDArray[np.float64]
Pair = tuple[Floats, Floats]
TILE, CLIP, SURFACE, CENTRE = 0, 1, 2, 3
#: Of countries whose points are drawn together: a site takes some 200 bytes.
SITES_AT_ONCE = 1_000_000


class S6Jitter(CountryState):
    """Rejection in the tile, in its part, then its surface; see docs/spec/s6-points.md#lanes."""

    id = "s6"
    source = "s5_site_tile_assignment"
    columns = ("merchant_id", "site_order", "tile_id")
    unlisted = "E606_FK_TILE_INDEX"

    def check(self, reader: Reader, rows: Mapping[str, int]) -> None:
        """Refuse countries without a shape."""
        shapes = country_codes(reader.whole_file("world_countries"))
        problem, hint = "world_countries has no shape of {}", "restore the sealed world_countries"
        check_known(rows, shapes, self.unlisted, problem, hint)

    def law(self, job: Job, rows: Mapping[str, Records]) -> Iterator[dict[str, Any]]:
        """Draw the points of several countries together: most have only a few sites."""
        shapes = checked_countries(job.reader.file("world_countries"), rows)
        used, at = {}, {}
        for code, sites in rows.items():
            used[code], at[code] = np.unique(sites["tile_id"], return_inverse=True)
        bounds = job.tiles("tile_bounds", BOUNDS, used, self.unlisted)
        if centred := job.run.policy.jitter.centres is not None:
            areas = job.tiles("tile_index", ["pixel_area_m2"], used, self.unlisted)
            centres = job.tiles("tile_centres", ["centres"], used, self.unlisted)
        for batch in _batches(rows):
            lands = [Land(c, shapes[c], own, bounds[c], at[c]) for c, own in batch.items()]
            points = Points(job.run, lands)
            if centred:
                points.gather(
                    np.concatenate([areas[code]["pixel_area_m2"] for code in batch]),
                    np.concatenate([centres[code]["centres"] for code in batch]),
                )
            points.place()
            for number, (code, sites) in enumerate(batch.items()):
                job.counters[code] = {"used": used[code], **points.counters(number)}
                yield from _rows(job, code, sites, points, number)

    def summary(self, run: Run, reader: Reader, rows: int, countries: Countries) -> Report:
        """Return the counters by country and the trace of the event log's parts."""
        events, draws_of_an_event = event_totals(run, LABEL), 2
        histogram: Counter[int] = Counter()
        for country in countries.values():
            histogram.update(country["histogram"])
        assigned = reader.partition(self.source).report["rows_emitted"]
        check_conserved(f"sites of {self.source}", rows, assigned, "s5")
        lanes = np.array([country["lanes"] for country in countries.values()], np.int64)
        lane_count = CENTRE + 1 if run.policy.jitter.centres else CENTRE
        body: dict[str, Any] = {
            **run.heading,
            "sites_total": rows,
            "rows_emitted": rows,
            "rng": {
                "events_total": sum(events),
                "blocks_total": str(sum(events)),
                "draws_total": str(draws_of_an_event * sum(events)),
                "attempt_histogram": {str(k): histogram[k] for k in sorted(histogram)},
                "resample_sites": histogram.total() - histogram[1],
                "lanes": lanes.reshape(-1, lane_count).sum(axis=0).tolist(),
            },
            "fk_tile_index_failures": total(countries, "not_in_index"),
            "point_outside_pixel": total(countries, "outside_pixel"),
            "point_outside_country": total(countries, "outside_country"),
            "path_embed_mismatches": _foreign_rows(run),
            "interior_tiles": total(countries, "interior"),
            "border_tiles": total(countries, "border"),
            "by_country": {
                code: {name: country[name] for name in ("sites", "attempts", "lanes")}
                for code, country in countries.items()
            },
        }
        logs = trace(run, LABEL, events, draws_of_an_event)
        if run.policy.jitter.centres:
            events, draws_of_an_event = event_totals(run, SITES), 4
            counted = ("sites", "placed", "tail", "exhausted")
            body["centres"] = {
                **{name: sum(c["centres"][name] for c in countries.values()) for name in counted},
                "events_total": sum(events),
                "blocks_total": str(sum(events)),
                "draws_total": str(draws_of_an_event * sum(events)),
            }
            logs |= trace(run, SITES, events, draws_of_an_event)
        return Report(body, logs=logs)


def _foreign_rows(run: Run) -> int:
    """Count staged offsets whose manifest_fingerprint is not that of their path."""
    dataset, name = run.contracts["s6_site_jitter"], "manifest_fingerprint"
    token = dict(step.split("=") for step in dataset.partition(run.places))["fingerprint"]
    count = 0
    for path in run.part_files(dataset.id):
        column = pq.read_table(path, columns=[name], read_dictionary=[name]).column(0)
        count += sum(
            entry["counts"]
            for entry in column.value_counts().to_pylist()
            if entry["values"] != token
        )
    return count


class Land(NamedTuple):
    """A country, its sites, the tiles that they are in, and at which of them each site is."""

    code: str
    shape: MultiPolygon
    rows: Records
    tiles: Records
    at: Int64s


class Points:
    """The sites of some countries and their points, which rounds of attempts fill, lane by lane.

    Attributes:
        sites: the stretch of sites of each country.
        d_lon, d_lat: float64[n], offset from the tile's centroid, degrees.
        blocks: uint16[n], attempts; lane: uint8[n].
    """

    def __init__(self, run: Run, lands: Sequence[Land]) -> None:
        self._run, self._codes = run, [land.code for land in lands]
        # Copies of the shapes for these points alone: threads must not share one.
        self._countries = [Country(land.shape) for land in lands]
        self.sites = _stretches([len(land.rows) for land in lands])
        self._owned = _stretches([len(land.tiles) for land in lands])
        rows = np.concatenate([land.rows for land in lands])
        tiles = np.concatenate([land.tiles for land in lands])
        self._merchant, self._order = rows["merchant_id"].copy(), rows["site_order"].copy()
        self._tile_ids = tiles["tile_id"].copy()
        self._tiles = Tiles(*(tiles[name].copy() for name in BOUNDS))
        south, north, west, east, _, _ = self._tiles
        self._tile = np.concatenate(
            [land.at + owned.start for land, owned in zip(lands, self._owned, strict=True)]
        )
        #: The number of the country of each tile.
        self._number = np.repeat(np.arange(len(lands)), [len(land.tiles) for land in lands])
        words = np.array([country_word(code) for code in self._codes], np.uint64)
        self._word = words[self._number]
        self._interior = np.concatenate(
            [
                country.interior(*(side[owned] for side in (west, south, east, north)))
                for country, owned in zip(self._countries, self._owned, strict=True)
            ]
        )
        count = len(rows)
        self.d_lon, self.d_lat = np.zeros(count), np.zeros(count)
        self.blocks, self.lane = np.zeros(count, np.uint16), np.zeros(count, np.uint8)
        self._centred: tuple[Int64s, CentredSites] | None = None

    def gather(self, area_m2: Floats, centres: Floats) -> None:
        """Place what is at the shared centres of its tile, given area and centres of the tiles."""
        run, policy = self._run, self._run.policy.jitter.centres
        assert policy is not None
        ground = Ground(
            *(run.identity.seed, policy, self._word, self._tile_ids, self._tiles),
            *(area_m2, centres.astype(np.int64), self._accepted),
        )
        at = np.flatnonzero(ground.admitted[self._tile])
        sites = CentredSites(ground, self._tile[at], self._merchant[at], self._order[at])
        sites.place()
        placed = sites.centre > 0
        self.lane[at[placed]] = CENTRE
        self.d_lon[at[placed]], self.d_lat[at[placed]] = sites.d_lon[placed], sites.d_lat[placed]
        self._centred = at, sites

    def events(self, number: int) -> Iterator[tuple[Int64s, dict[str, Any]]]:
        """Yield the rows of each event log of a country: whose, and columns beside the site key."""
        span = self.sites[number]
        at = np.flatnonzero(self.lane[span] != CENTRE)
        yield at, {"blocks": self.blocks[span][at], "lane": self.lane[span][at]}
        if self._centred is not None:
            whose, sites = self._centred
            own = _within(whose, span)
            columns = {"blocks": sites.blocks[own], "centre": sites.centre[own].astype(np.uint16)}
            yield whose[own] - span.start, columns

    def place(self) -> None:
        """Give every site a point in the common part of tile and country, or raise E613."""
        policy = self._run.policy.jitter
        first, last = policy.max_attempts_tile, policy.max_attempts_tile + policy.max_attempts_clip

        def whole(u: Pair, at: Int64s) -> Pair:
            return in_tile(u, self._tiles.at(self._tile[at]))

        left = np.flatnonzero(self.lane != CENTRE)
        left = self._attempt(left, range(1, first + 1), whole, TILE)
        if not len(left):
            return
        used = distinct(self._tile[left])
        clips = np.array([self._clip(int(t)) for t in used])

        def clipped(u: Pair, at: Int64s) -> Pair:
            tile = self._tile[at]
            clip = clips[np.searchsorted(used, tile)].T
            return in_box(u, clip[:4], self._tiles.at(tile))

        def on_surface(_u: Pair, at: Int64s) -> Pair:
            tile = self._tile[at]
            lon, lat = clips[np.searchsorted(used, tile), 4:].T
            tiles = self._tiles.at(tile)
            return lon - tiles.lon, lat - tiles.lat

        left = self._attempt(left, range(first + 1, last + 1), clipped, CLIP)
        left = self._attempt(left, range(last, last + 1), on_surface, SURFACE)
        if len(left):
            raise self._exhausted(self._tile[left[0]], "not even a point on its surface is inside")

    def counters(self, number: int) -> dict[str, Any]:
        """Return a country's counters; each point is tested again, without shortcut."""
        span, owned = self.sites[number], self._owned[number]
        tiles = self._tiles.at(self._tile[span])
        lon, lat = point(self.d_lon[span], self.d_lat[span], tiles)
        blocks, lane, interior = self.blocks[span], self.lane[span], self._interior[owned]
        attempts, often = np.unique(blocks[lane != CENTRE], return_counts=True)
        inside = int(np.count_nonzero(interior))
        counted = {}
        if self._centred is not None:
            whose, sites = self._centred
            counted = {"centres": sites.counters(_within(whose, span))}
        return {
            **counted,
            "sites": len(blocks),
            "attempts": int(blocks.sum(dtype=np.int64)),
            "lanes": np.bincount(lane, minlength=CENTRE + len(counted)).tolist(),
            "histogram": dict(zip(attempts.tolist(), often.tolist(), strict=True)),
            "interior": inside,
            "border": len(interior) - inside,
            "outside_pixel": int(np.count_nonzero(~inside_tile(lon, lat, tiles))),
            "outside_country": int(np.count_nonzero(~self._countries[number].contains(lon, lat))),
        }

    def _attempt(
        self, left: Int64s, attempts: range, law: Callable[[Pair, Int64s], Pair], lane: int
    ) -> Int64s:
        """Run the attempts of one lane over the sites without a point; return those that remain."""
        seed = self._run.identity.seed
        for attempt in attempts:
            if not len(left):
                break
            word = self._word[self._tile[left]]
            u = draws(seed, word, attempt, self._merchant[left], self._order[left])
            d_lon, d_lat = law(u, left)
            good = self._accepted(self._tile[left], d_lon, d_lat)
            done = left[good]
            self.d_lon[done], self.d_lat[done] = d_lon[good], d_lat[good]
            self.blocks[done], self.lane[done] = attempt, lane
            left = left[~good]
        return left

    def _accepted(self, tile: Int64s, d_lon: Floats, d_lat: Floats) -> npt.NDArray[np.bool_]:
        """Return which offsets give a point in the tile (a) and strictly inside the country (b)."""
        tiles = self._tiles.at(tile)
        lon, lat = point(d_lon, d_lat, tiles)
        good = inside_tile(lon, lat, tiles)
        # An interior tile needs no (b): all of it lies properly inside. (a) is never skipped.
        ask = np.flatnonzero(good & ~self._interior[tile])
        number = self._number[tile[ask]]
        for country in distinct(number):
            own = ask[number == country]
            good[own] = self._countries[country].contains(lon[own], lat[own])
        return good

    def _clip(self, t: int) -> Clip:
        tiles = self._tiles
        sides = (tiles.west, tiles.south, tiles.east, tiles.north, tiles.lon)
        country = self._countries[int(self._number[t])]
        clip = country.clip(*(float(side[t]) for side in sides))
        if clip is None:
            raise self._exhausted(t, "tile and country have no area in common")
        return clip

    def _exhausted(self, t: int, why: str) -> Segment1BError:
        code, tile_id = self._codes[int(self._number[t])], int(self._tile_ids[t])
        what = f"{code}, tile {tile_id}: {why}"
        fault = "E613_RESAMPLE_EXHAUSTED"
        return Segment1BError(fault, what, country_iso=code, tile_id=tile_id)


def _rows(
    job: Job, code: str, sites: Records, points: Points, number: int
) -> Iterator[dict[str, Any]]:
    """Yield the columns of the dataset, then of each event log, of a country of some points."""
    span = points.sites[number]
    yield {
        "merchant_id": sites["merchant_id"],
        "legal_country_iso": code,
        "site_order": sites["site_order"],
        "tile_id": sites["tile_id"],
        "delta_lat_deg": points.d_lat[span],
        "delta_lon_deg": points.d_lon[span],
        "manifest_fingerprint": job.run.identity.manifest_fingerprint,
    }
    for at, columns in points.events(number):
        key = {name: sites[name][at] for name in ("merchant_id", "site_order")}
        yield {**key, "legal_country_iso": code, **columns}


def _batches(rows: Mapping[str, Records]) -> Iterator[dict[str, Records]]:
    """Yield whole countries, several while they have at most SITES_AT_ONCE sites together."""
    batch: dict[str, Records] = {}
    for code, sites in rows.items():
        if batch and len(sites) + sum(map(len, batch.values())) > SITES_AT_ONCE:
            yield batch
            batch = {}
        batch[code] = sites
    yield batch


def _stretches(counts: Sequence[int]) -> list[slice]:
    """Return where so many items of each kind lie, one kind after another."""
    ends = np.cumsum(counts).tolist()
    return [slice(end - count, end) for count, end in zip(counts, ends, strict=True)]


def _within(ascending: Int64s, span: slice) -> slice:
    """Return which of some ascending positions are in a stretch."""
    low, high = np.searchsorted(ascending, [span.start, span.stop]).tolist()
    return slice(low, high)
