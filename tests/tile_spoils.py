"""For each SQL check of S0 to S2, changes of tables that it must find."""

from __future__ import annotations

from spoil import BOUNDS, CENTRES, INDEX, WEIGHTS
from sql_changes import DROP, NO_PT, NONE, SWAP, TWICE, every, portugal, row

TILE_SPOILS: dict[str, list[tuple[str, str]]] = {
    "s0/10_outlet_tokens": [
        ("outlet_catalogue", every("global_seed = 7 WHERE part_row = 3")),
        ("outlet_catalogue", every("manifest_fingerprint = 'aa' WHERE part_row = 3")),
    ],
    "s1/10_tile_index_sorted": [(INDEX, SWAP)],
    "s1/11_tile_index_unique": [(INDEX, TWICE)],
    "s1/12_tile_bounds_sorted": [(BOUNDS, SWAP)],
    "s1/13_tile_bounds_unique": [(BOUNDS, TWICE)],
    "s1/20_tile_id_from_grid": [
        (INDEX, row("raster_col = raster_col + 1")),
        (INDEX, every("raster_row = 180, tile_id = 180 * 360 + raster_col")),
    ],
    "s1/21_centroids": [
        (INDEX, row("centroid_lon = centroid_lon + 1e-6")),
        (INDEX, row("centroid_lat = centroid_lat - 1")),
        (INDEX, row("centroid_lon = centroid_lon + 360")),
        (INDEX, row("centroid_lat = 'nan'::DOUBLE")),
    ],
    "s1/22_areas": [
        (INDEX, every("pixel_area_m2 = pixel_area_m2 * (1 + 1e-10)")),
        (INDEX, row("pixel_area_m2 = -1")),
        (INDEX, row("raster_row = 400")),
    ],
    "s1/23_one_rule_a_country": [
        (INDEX, portugal("inclusion_rule = 'nearest'")),
        (
            INDEX,
            "UPDATE {t} SET inclusion_rule = 'any_overlap' WHERE tile_id IN "
            "(SELECT max(tile_id) FROM {t} WHERE country_iso = 'ZA')",
        ),
    ],
    "s1/24_country_codes": [
        (INDEX, row("country_iso = 'QQ'")),
        ("world_countries", row("country_iso = 'QQ'")),
    ],
    "s1/25_cell_size": [
        ("run", "CREATE OR REPLACE TABLE {t} AS SELECT * REPLACE (0.3 AS grid) FROM {t}")
    ],
    "s1/30_bounds_have_the_same_tiles": [(INDEX, DROP), (BOUNDS, DROP)],
    "s1/31_bounds_from_grid": [
        *(
            (BOUNDS, row(f"{name} = {name} + 1e-6"))
            for axis in ("lon", "lat")
            for name in (f"min_{axis}_deg", f"max_{axis}_deg", f"centroid_{axis}_deg")
        ),
        (BOUNDS, every("max_lon_deg = -180 WHERE max_lon_deg = 180")),
    ],
    "s1/40_report_by_country": [
        ("s1_run_report_by_country", portugal("tile_id_max = 1")),
        ("s1_run_report_by_country", portugal("cells_visited = 0")),
        ("s1_run_report_by_country", NO_PT),
        (INDEX, DROP),
    ],
    "s1/41_report_totals": [
        ("s1_run_report", every("rows_emitted = rows_emitted + 1")),
        ("s1_run_report", every("predicate = 'any_overlap'")),
        ("s1_run_report_grid_dims", every("nrows = nrows + 1")),
    ],
    "s1/42_report_lists": [
        ("s1_run_report_widened_countries", "INSERT INTO {t} VALUES ('ZA')"),
        ("s1_run_report_widened_countries", NONE),
        ("s1_run_report_countries_without_polygon", "DELETE FROM {t} WHERE country_iso = 'DE'"),
        ("s1_run_report_countries_without_tiles", "INSERT INTO {t} VALUES ('PT')"),
    ],
    "s2/10_sorted": [(WEIGHTS, SWAP)],
    "s2/11_unique": [(WEIGHTS, TWICE)],
    "s2/12_same_tiles": [(WEIGHTS, DROP), (INDEX, DROP)],
    "s2/12_tile_centres_sorted": [(CENTRES, SWAP)],
    "s2/13_tile_centres_unique": [(CENTRES, TWICE)],
    "s2/25_centres": [
        (CENTRES, row("centres = centres + 1")),
        (CENTRES, every("centres = 513 WHERE centres = 512")),
        (CENTRES, DROP),
        (CENTRES, row("tile_id = 7")),
    ],
    "s2/13_country_codes": [(WEIGHTS, row("country_iso = 'QQ'"))],
    "s2/20_one_dp": [(WEIGHTS, row("dp = 11"))],
    "s2/21_sums": [(WEIGHTS, row("weight_fp = weight_fp + 1"))],
    "s2/22_enough_units": [("run", every("min_units_per_tile = K"))],
    "s2/23_good_cells": [("bad_cells", "INSERT INTO {t} SELECT tile_id, -1 FROM tile_index")],
    "s2/24_mass_limit": [("weighed_countries", every("mass_sum = 4611686018427387904"))],
    "s2/30_law": [
        (
            WEIGHTS,
            "UPDATE {t} SET weight_fp = weight_fp + CASE part_row WHEN 1 THEN 1 "
            "ELSE -1 END WHERE part_row IN (1, 2)",
        )
    ],
    "s2/31_monotonic": [
        (
            WEIGHTS,
            "UPDATE {t} SET weight_fp = 0 WHERE weight_fp IN "
            "(SELECT max(weight_fp) FROM {t} WHERE country_iso = 'ZA')",
        ),
        # Equal masses: the one with the higher tile_id is given the unit.
        ("weighed", every("mass = 5 WHERE country_iso = 'ZA'")),
        (
            WEIGHTS,
            "UPDATE {t} SET weight_fp = weight_fp + 1 WHERE tile_id IN "
            "(SELECT max(tile_id) FROM weighed WHERE mass = 0) AND weight_fp = 0",
        ),
    ],
    "s2/32_basis": [
        (WEIGHTS, portugal("basis = 'uniform'")),
        ("weighed_countries", every("zero_mass_fallback = true")),
        ("s2_run_report_by_country", every("zero_mass_fallback = true")),
    ],
    "s2/40_report_by_country": [
        ("s2_run_report_by_country", portugal("mass_sum = '1'")),
        ("s2_run_report_by_country", every("residue_allocations = 1000")),
        ("s2_run_report_by_country", every("zero_weight_tiles = 1000")),
        ("s2_run_report_by_country", every("postquant_sum_fp = 7")),
        ("s2_run_report_by_country", NO_PT),
    ],
    "s2/41_report_totals": [
        ("s2_run_report", every(change))
        for change in (
            "rows_emitted = 1",
            "countries_total = 1",
            "basis = 'uniform'",
            "dp = 3",
            "K = 1000",
            "mass_scale = 1",
        )
    ],
}
