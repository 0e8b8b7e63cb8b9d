"""For each SQL check, changes of tables that it must find; each makes it fail by itself."""

from __future__ import annotations

from spoil import (
    ASSIGN_LOG,
    ASSIGNED,
    CENTRE_LOG,
    INDEX,
    JITTER_LOG,
    JITTERED,
    JOINED,
    LOCATED,
    NEEDS,
    PLAN,
    WEIGHTS,
)
from sql_changes import (
    DROP,
    NO_PT,
    NO_PT_OUTLETS,
    NONE,
    REPEAT,
    SWAP,
    TWICE,
    every,
    placed,
    portugal,
    raised,
    row,
)
from tile_spoils import TILE_SPOILS

SPOILS: dict[str, list[tuple[str, str]]] = {
    **TILE_SPOILS,
    "s3/10_sorted": [(NEEDS, SWAP)],
    "s3/11_unique": [(NEEDS, TWICE)],
    "s3/12_at_least_one_site": [(NEEDS, row("n_sites = 0"))],
    "s3/13_country_codes": [
        (NEEDS, row("legal_country_iso = 'QQ'")),
        ("outlet_catalogue", row("legal_country_iso = 'QQ'")),
    ],
    "s3/20_recount": [
        (NEEDS, row("n_sites = n_sites + 1")),
        (NEEDS, DROP),
        ("counted", NO_PT_OUTLETS),
        ("counted", every("excluded = true WHERE legal_country_iso = 'PT'")),
    ],
    "s3/21_declared_counts": [
        ("counted", every("most_declared = most_declared + 1")),
        ("counted", every("undeclared = 1")),
    ],
    "s3/22_dense_sites": [
        ("counted", every("first_order = 2")),
        ("counted", every("last_order = last_order + 1")),
        ("counted", every("orders = orders - 1")),
        ("outlet_catalogue", REPEAT),
    ],
    "s3/23_site_ids": [("counted", every("bad_site_ids = 1"))],
    "s3/30_excluded_codes": [("excluded_countries", "INSERT INTO {t} VALUES ('QQ')")],
    "s3/31_excluded_outlets": [
        ("s3_run_report_excluded_by_policy", "INSERT INTO {t} VALUES ('PT', 1, 1)"),
        ("counted", every("excluded = true WHERE legal_country_iso = 'PT'")),
    ],
    "s3/40_report_totals": [
        *raised(
            *("s3_run_report", "rows_emitted", "merchants_total", "countries_total"),
            *("source_rows_total", "max_n_sites"),
        ),
        (NEEDS, row("n_sites = n_sites - 1")),
    ],
    "s3/50_weights_cover": [(WEIGHTS, NO_PT)],
    "s4/10_sorted": [(PLAN, SWAP)],
    "s4/11_unique": [(PLAN, TWICE)],
    "s4/12_no_empty_rows": [(PLAN, row("n_sites_tile = 0"))],
    "s4/13_country_codes": [(PLAN, row("legal_country_iso = 'QQ'"))],
    "s4/20_weights_there": [(WEIGHTS, NO_PT)],
    "s4/21_tiles_there": [(INDEX, NO_PT)],
    "s4/22_weights_whole": [
        (WEIGHTS, row("weight_fp = weight_fp + 1")),
        (WEIGHTS, portugal("dp = 11")),
    ],
    "s4/30_sums": [
        (PLAN, row("n_sites_tile = n_sites_tile + 1")),
        (PLAN, NO_PT_OUTLETS),
        (NEEDS, NO_PT_OUTLETS),
    ],
    "s4/31_tiles_of_the_country": [(PLAN, row("tile_id = tile_id + 1000000")), (INDEX, NO_PT)],
    "s4/40_tie_rule": [
        (
            "plan_differences",
            "INSERT INTO {t} BY NAME (SELECT 17 AS merchant_id, "
            "'PT' AS legal_country_iso, 5 AS tile_id, true AS only_ties)",
        )
    ],
    "s4/41_law": [
        (
            "plan_differences",
            "INSERT INTO {t} BY NAME (SELECT 17 AS merchant_id, "
            "'PT' AS legal_country_iso, 5 AS tile_id, false AS only_ties)",
        )
    ],
    "s4/50_report_totals": [
        ("s4_run_report", every(change))
        for change in (
            "rows_emitted = 1",
            "merchants_total = 1",
            "pairs_total = 1",
            "sites_total = 1",
            "law = 'balanced'",
            "dp = 3",
        )
    ],
    "s4/51_report_by_country": [
        ("s4_run_report_quality_by_country", portugal("sites = 1")),
        ("s4_run_report_quality_by_country", portugal("pairs = 1000")),
        ("s4_run_report_quality_by_country", every("distinct_tiles = 1000")),
        ("tile_counts", NO_PT),
        ("s4_run_report_country_timings", portugal("rows = 1")),
        ("s4_run_report_country_timings", NO_PT),
    ],
    "s4/52_report_units": raised("s4_run_report", "shortfall_total", "ties_broken_total"),
    "s5/10_sorted": [(ASSIGNED, SWAP)],
    "s5/11_unique": [(ASSIGNED, TWICE)],
    "s5/12_country_codes": [(ASSIGNED, row("legal_country_iso = 'QQ'"))],
    "s5/13_plan_there": [(PLAN, NONE)],
    "s5/14_plan_positive": [(PLAN, row("n_sites_tile = 0"))],
    "s5/20_quotas": [
        (ASSIGNED, DROP),
        (ASSIGNED, row("tile_id = tile_id + 1")),
        (PLAN, row("n_sites_tile = n_sites_tile + 1")),
        (PLAN, DROP),
    ],
    "s5/21_sums": [
        (ASSIGNED, DROP),
        (ASSIGNED, TWICE),
        (ASSIGNED, row("site_order = site_order + 100")),
        (ASSIGNED, REPEAT),
        (PLAN, NO_PT_OUTLETS),
    ],
    "s5/22_tiles_of_the_country": [
        ("used_tile_index", NO_PT),
        (ASSIGNED, row("tile_id = tile_id + 1000000")),
    ],
    "s5/30_sorted_log": [(ASSIGN_LOG, SWAP)],
    "s5/31_unique_log": [(ASSIGN_LOG, TWICE)],
    "s5/32_events": [(ASSIGN_LOG, DROP), (ASSIGNED, DROP), ("run", every("law = 'stable'"))],
    "s5/40_permutation": [
        (ASSIGN_LOG, every("word = 18446744073709551615 - word")),
        (ASSIGN_LOG, every("word = 0")),
        (ASSIGNED, row("tile_id = tile_id + 1")),
        (PLAN, DROP),
    ],
    "s5/41_own_points": [("run", every("law = 'stable'"))],
    "s5/50_report_totals": [
        *raised(
            *("s5_run_report", "rows_emitted", "pairs_total"),
            *("rng_events_emitted", "ties_broken_total"),
        ),
        ("s5_run_report", every("match = 'own_point'")),
        (ASSIGN_LOG, every("word = 0")),
    ],
    "s6/10_sorted": [(JITTERED, SWAP)],
    "s6/11_unique": [(JITTERED, TWICE)],
    "s6/12_rows_missing": [(JITTERED, DROP)],
    "s6/13_rows_extra": [(ASSIGNED, DROP), (JITTERED, row("tile_id = tile_id + 1"))],
    "s6/14_fingerprint": [(JITTERED, row("manifest_fingerprint = 'aa'"))],
    "s6/15_country_codes": [
        (JITTERED, row("legal_country_iso = 'QQ'")),
        ("world_countries", NO_PT),
    ],
    "s6/20_tiles_known": [("used_tile_index", NO_PT), ("used_tile_bounds", NO_PT)],
    "s6/21_in_tile": [
        (JITTERED, row("delta_lon_deg = 0.6")),
        (JITTERED, row("delta_lat_deg = -0.6")),
        (JITTERED, row("delta_lat_deg = 'nan'::DOUBLE")),
        ("used_tile_bounds", NO_PT),
    ],
    "s6/30_sorted_log": [(JITTER_LOG, SWAP)],
    "s6/31_unique_log": [(JITTER_LOG, TWICE)],
    "s6/32_events": [(JITTER_LOG, DROP), (JITTERED, NONE), (CENTRE_LOG, placed("centre = 0"))],
    "s6/32_rng_event_centre_jitter_sorted_log": [(CENTRE_LOG, SWAP)],
    "s6/33_rng_event_centre_jitter_unique_log": [(CENTRE_LOG, TWICE)],
    "s6/34_centre_events": [(CENTRE_LOG, DROP), (JITTERED, NONE), ("centre_tiles", NO_PT)],
    "s6/35_centre_attempts": [
        (CENTRE_LOG, placed("blocks = 65")),
        (CENTRE_LOG, placed("blocks = 0")),
        (CENTRE_LOG, placed("centre = 512")),
        (CENTRE_LOG, every("blocks = 2 WHERE centre = 0")),
        ("centre_tiles", every("centres = 0")),
    ],
    "s6/36_centres_apart": [(CENTRE_LOG, placed("centre = 1, blocks = 8"))],
    "s6/33_attempts": [
        (JITTER_LOG, every("blocks = 65 WHERE lane = 0")),
        (JITTER_LOG, every("blocks = 64 WHERE lane = 1")),
        (JITTER_LOG, row("blocks = 0")),
        (JITTER_LOG, row("lane = 3")),
    ],
    "s7/10_sorted": [(JOINED, SWAP)],
    "s7/11_unique": [(JOINED, TWICE)],
    "s7/12_rows_missing": [(JOINED, DROP)],
    "s7/13_rows_extra": [
        (ASSIGNED, DROP),
        (JITTERED, DROP),
        (JITTERED, row("tile_id = tile_id + 1")),
        (JOINED, row("tile_id = tile_id + 1")),
    ],
    "s7/20_tiles_known": [("used_tile_bounds", NO_PT)],
    "s7/21_in_tile": [
        (JOINED, row("lat_deg = lat_deg + 1")),
        (JOINED, every("lon_deg = lon_deg + 360")),
        (JOINED, row("lon_deg = 'nan'::DOUBLE")),
    ],
    "s7/22_coordinates": [
        (JOINED, row("lon_deg = lon_deg + 1e-12")),
        (JOINED, row("lat_deg = lat_deg + 1e-12")),
        (JITTERED, row("delta_lon_deg = delta_lon_deg + 1e-12")),
        ("used_tile_bounds", every("centroid_lat_deg = centroid_lat_deg + 1e-12")),
    ],
    "s7/30_coverage_missing": [(JOINED, DROP), ("excluded_countries", NONE)],
    "s7/31_coverage_extra": [
        ("outlet_catalogue", NO_PT_OUTLETS),
        ("excluded_countries", "INSERT INTO {t} VALUES ('PT')"),
    ],
    "s7/32_excluded_as_s3": [
        ("s7_run_report_excluded_by_policy", "INSERT INTO {t} VALUES ('PT', 1, 1)"),
        ("s7_run_report_excluded_by_policy", NONE),
        ("excluded_countries", NONE),
    ],
    "s7/40_report_totals": [
        *raised(
            "s7_run_report",
            *("rows_emitted", "sites_total_s5", "sites_total_s6", "sites_total_s7"),
            *("fk_tile_ok_count", "inside_pixel_ok_count", "coverage_1a_ok_count"),
            *("fk_tile_fail_count", "inside_pixel_fail_count"),
        ),
        ("used_tile_bounds", NO_PT),
        (JOINED, row("lat_deg = lat_deg + 1")),
        ("outlet_catalogue", NO_PT_OUTLETS),
        (ASSIGNED, DROP),
        (JITTERED, DROP),
        (JOINED, DROP),
    ],
    "s7/41_report_by_country": [
        ("s7_run_report_by_country", portugal("sites = 1")),
        ("s7_run_report_by_country", portugal("tiles = 1000")),
        ("tile_counts", NO_PT),
        ("s7_run_report_by_country", portugal("inside = inside - 1")),
        ("used_tile_bounds", NO_PT),
        (JOINED, row("lat_deg = lat_deg + 1")),
        ("s7_run_report_by_country", NO_PT),
    ],
    "s8/10_sorted": [(LOCATED, SWAP)],
    "s8/11_unique": [(LOCATED, TWICE)],
    "s8/12_rows_missing": [(LOCATED, DROP)],
    "s8/13_rows_extra": [(JOINED, DROP)],
    "s8/14_coordinates": [
        (LOCATED, row("lon_deg = lon_deg + 1e-12")),
        (JOINED, row("lat_deg = lat_deg + 1e-12")),
    ],
    "s8/40_report_totals": raised("s8_run_report", "rows_s7", "rows_s8", "rows_emitted"),
}
