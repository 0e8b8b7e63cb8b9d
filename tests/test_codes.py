"""Every code of the package: which test provokes it, or why neither disk nor input can."""

from __future__ import annotations

from pathlib import Path

import pytest

from segment1b.errors import CODES

TESTS = Path(__file__).parent

# Tests that provoke many codes, each by what it changes.
ROWS = (
    "validators/test_tampering.py"
    "::test_a_changed_row_is_found_by_the_receipt_and_by_the_law_where_the_"
    "receipt_was_forged"
)
PLACE_ROWS = (
    "validators/test_place_tampering.py"
    "::test_a_changed_row_is_found_by_the_receipt_and_by_the_law_where_the_"
    "receipt_was_forged"
)
COLUMNS = "validators/test_place_tampering.py::test_an_undeclared_column_is_found"
ACCEPTANCE = "validators/test_place_bundle.py::test_what_was_changed_is_not_accepted"
NO_INPUT = "pipeline/test_places.py::test_a_state_without_its_input_says_so"
REPORTS = "validators/test_place_tampering.py::test_a_changed_run_report_is_found"
ABSENT = (
    "validators/test_faults.py"
    "::test_what_is_absent_is_reported_once_under_the_code_of_the_state_"
    "that_needs_it"
)
COMMITTED = "pipeline/test_places.py::test_other_content_that_is_committed_is_never_overwritten"
PLANS = "pipeline/test_places.py::test_an_impossible_plan_has_its_code"
SEALS = "pipeline/test_places.py::test_a_seal_of_another_policy_is_refused"
FORGED = (
    "validators/test_place_bundle.py"
    "::test_a_file_that_says_something_else_is_found_behind_a_forged_flag"
)

PROVOKED_BY: dict[str, str] = {
    "E_USAGE": ("pipeline/test_bad_input.py::test_states_that_cannot_be_run_are_a_usage_error"),
    "E_POLICY_INVALID": "test_config.py::test_an_absent_policy_file_is_refused_by_name",
    "E_PARAMETER_HASH_REUSED": (
        "pipeline/test_bad_input.py::test_the_same_hash_with_another_surface_is_refused"
    ),
    "E_DATA_ROOT_UNUSABLE": (
        "pipeline/test_bad_input.py::test_a_data_root_that_is_a_file_is_refused"
    ),
    "E_STORAGE_FULL": (
        "storage/test_publisher.py::test_a_report_on_a_full_disk_leaves_the_old_one"
    ),
    "E_STAGING_DAMAGED": (
        "storage/test_records.py::test_records_of_another_size_than_was_written_are_refused"
    ),
    "E_NOT_CONSERVED": (
        "pipeline/test_conservation.py::test_a_row_group_that_is_not_read_stops_the_state"
    ),
    "E_STORAGE_FAILED": (
        "test_faults.py::test_a_refusal_of_the_system_is_coded_by_its_number_and_names_the_path"
    ),
    "E_RESOURCES_EXHAUSTED": "test_faults.py::test_what_a_library_raises_is_coded",
    "E_STORE_UNAVAILABLE": "storage/test_objects.py::test_a_refusal_that_lasts_has_its_code",
    "E_STORE_DENIED": "storage/test_objects.py::test_a_refusal_that_lasts_has_its_code",
    "E_STORE_MISSING": "storage/test_objects.py::test_a_bucket_that_is_not_there_is_named",
    "E_STORE_DAMAGED": (
        "storage/test_working_copy.py::test_an_object_that_is_not_what_its_receipt_says_is_named"
    ),
    "E_LOCKED": "storage/test_root.py::test_a_second_run_waits_no_longer_than_told",
    "E_OUTLETS_INVALID": "ingress/test_outlets.py::test_a_bad_value_is_named",
    "E_INPUT_UNREADABLE": "pipeline/test_bad_input.py::test_a_damaged_surface_is_named",
    "E_INPUT_TOO_LARGE": (
        "storage/test_rasters.py::test_an_absurd_header_is_refused_before_anything_is_allocated"
    ),
    "E_INPUT_SCHEMA_INVALID": (
        "states/test_s0_gate.py"
        "::test_step_7_outlet_files_that_were_broken_when_1a_passed_are_refused"
    ),
    "E_WORKER_DIED": "test_engines.py::test_a_worker_that_dies_is_a_coded_error",
    "E_CLUSTER_UNREACHABLE": (
        "test_cluster.py::test_a_cluster_that_does_not_answer_is_a_coded_error"
    ),
    "E_CLUSTER_MISMATCH": (
        "test_cluster.py"
        "::test_a_local_cluster_keeps_to_loopback_asks_before_it_works_and_ends"
        "_with_its_block"
    ),
    "E_OUTPUT_LOST": "test_exits.py::test_output_that_is_lost_is_exit_code_3",
    "E_INTERRUPTED": (
        "pipeline/test_places.py::test_a_run_that_is_interrupted_says_so_and_goes_on_later"
    ),
    "E_INTERNAL": (
        "automation/test_nightly.py::test_a_run_that_breaks_is_e_internal_and_the_next_goes_on"
    ),
    "E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL": COMMITTED,
    "E_DISCARD_REFUSED": (
        "test_discard.py::test_tiles_that_another_receipt_uses_are_not_removed_and_it_is_named"
    ),
    "E_EVIDENCE_INVALID": "review/test_evidence.py::test_a_damaged_bundle_is_refused",
    "E_EVIDENCE_NOT_REPRODUCED": (
        "review/test_evidence.py::test_other_content_than_published_is_an_error_and_leaves_nothing"
    ),
    "E_BUNDLE_MISSING": "states/test_s0_gate.py::test_step_1_the_bundle_s_folder_exists",
    "E_INDEX_MISSING": "states/test_s0_gate.py::test_step_2_there_is_an_index",
    "E_INDEX_INVALID": "states/test_s0_gate.py::test_step_2_the_index_is_an_array_of_entries",
    "E_PASS_MISSING": "states/test_s0_gate.py::test_step_3_there_is_a_flag",
    "E_FLAG_FORMAT_INVALID": (
        "states/test_s0_gate.py::test_step_3_a_flag_of_any_other_form_is_refused"
    ),
    "E_FLAG_HASH_MISMATCH": (
        "states/test_s0_gate.py::test_step_4_a_byte_more_in_any_indexed_file_breaks_the_flag"
    ),
    "E_PATH_EMBED_MISMATCH": (
        "states/test_s0_gate.py::test_step_5_the_resolved_tokens_are_those_of_the_run"
    ),
    "E_REFERENCE_SURFACE_MISSING": "pipeline/test_bad_input.py::test_an_absent_surface_is_named",
    "E_PARTITION_MISPLACED": "states/test_s0_gate.py::test_step_7_the_outlet_partition_is_there",
    "E_DICTIONARY_RESOLUTION_FAILED": (
        "states/test_s0_gate.py::test_step_6_every_input_has_path_licence_retention_and_schema"
    ),
    "E_SCHEMA_RESOLUTION_FAILED": (
        "states/test_s0_gate.py::test_step_6_every_input_has_path_licence_retention_and_schema"
    ),
    "E_EGRESS_CHECKSUM_MISMATCH": (
        "states/test_s0_gate.py::test_step_7_outlet_files_that_changed_since_1a_passed_are_refused"
    ),
    "E_FORBIDDEN_SURFACE_READ": (
        "states/test_s0_gate.py::test_an_input_that_is_not_sealed_cannot_be_opened"
    ),
    "E_RECEIPT_SCHEMA_INVALID": (
        "validators/test_gate.py"
        "::test_a_changed_gate_receipt_is_found_by_its_bytes_and_by_what_it_say"
        "s"
    ),
    "E007_CRS_MISMATCH": "pipeline/test_bad_input.py::test_polygons_in_another_crs_are_e007",
    "E001_GEO_INVALID": (
        "pipeline/test_bad_input.py::test_an_unusable_polygon_is_e001_and_names_its_country_and_row"
    ),
    "E002_RASTER_MISMATCH": "pipeline/test_bad_input.py::test_a_grid_that_is_not_the_roots_is_e002",
    "E003_DUP_TILE": "pipeline/test_places.py::test_a_tile_listed_twice_is_e003",
    "E005_ISO_FK": ("pipeline/test_bad_input.py::test_a_polygon_with_an_unknown_code_is_e005"),
    "E004_BOUNDS": ROWS,
    "E006_AREA_NONPOS": ROWS,
    "E008_INCLUSION_RULE": ROWS,
    "E009_PERF_BUDGET": ("validators/test_consistency.py::test_budgets_are_checked_when_asked_for"),
    "E101_TILE_INDEX_MISSING": (
        "validators/test_consistency.py"
        "::test_a_changed_input_breaks_the_chain_of_digests_even_when_its_own_r"
        "eceipt_was_forged"
    ),
    "E102_FK_MISMATCH": ROWS,
    "E103_ZERO_COUNTRY": (
        "pipeline/test_places.py"
        "::test_a_country_without_a_cells_centre_is_e103_when_the_policy_says_a"
        "bort"
    ),
    "E104_ZERO_MASS": ROWS,
    "E105_NORMALIZATION": (
        "pipeline/test_bad_input.py::test_impossible_population_is_e105_and_names_country_and_cell"
    ),
    "E106_MONOTONICITY": (
        "pipeline/test_places.py::test_a_lighter_weight_for_a_heavier_mass_is_e106"
    ),
    "E107_DETERMINISM": (
        "pipeline/test_bad_input.py"
        "::test_published_parts_that_were_cut_short_are_refused_by_the_next_run"
    ),
    "E108_WRITER_HYGIENE": (
        "validators/test_consistency.py::test_a_report_of_another_identity_is_found"
    ),
    "E109_PERF_BUDGET": ("validators/test_consistency.py::test_budgets_are_checked_when_asked_for"),
    "E301_NO_PASS_FLAG": "pipeline/test_places.py::test_a_state_without_the_seal_is_e301",
    "E302_FK_COUNTRY": PLANS,
    "E303_MISSING_WEIGHTS": (
        "pipeline/test_bad_input.py"
        "::test_a_country_outside_the_raster_has_no_tiles_and_s3_lists_it_with_"
        "its_outlets"
    ),
    "E304_ZERO_SITES_ROW": ROWS,
    "E305_SCHEMA_INVALID": (
        "validators/test_tampering.py"
        "::test_a_column_of_another_type_is_one_fault_beside_the_receipt"
    ),
    "E305_SCHEMA_EXTRAS": "validators/test_tampering.py::test_an_undeclared_column_is_found",
    "E306_TOKEN_MISMATCH": (
        "validators/test_consistency.py"
        "::test_a_changed_input_breaks_the_chain_of_digests_even_when_its_own_r"
        "eceipt_was_forged"
    ),
    "E307_PK_DUPLICATE": "pipeline/test_places.py::test_a_pair_listed_twice_is_e307",
    "E308_COUNTS_MISMATCH": ROWS,
    "E310_UNSORTED": ROWS,
    "E311_DISALLOWED_READ": (
        "validators/test_consistency.py::test_a_read_outside_the_contract_is_found"
    ),
    "E312_ORDER_AUTHORITY_VIOLATION": COLUMNS,
    "E313_NONDETERMINISTIC_OUTPUT": (
        "pipeline/test_bad_input.py"
        "::test_published_parts_that_were_cut_short_are_refused_by_the_next_run"
    ),
    "E314_SITE_ORDER_INTEGRITY": (
        "pipeline/test_places.py::test_a_gap_in_the_site_numbers_of_a_sealed_list_is_e314"
    ),
    "E315_POLICY_ISO_UNKNOWN": (
        "pipeline/test_bad_input.py::test_the_policy_cannot_exclude_an_unknown_country"
    ),
    "E401_NO_S3_REQUIREMENTS": ABSENT,
    "E402_MISSING_TILE_WEIGHTS": ABSENT,
    "E403_ZERO_TILE_UNIVERSE": ABSENT,
    "E404_ALLOCATION_MISMATCH": ROWS,
    "E405_SCHEMA_INVALID": "validators/test_tampering.py::test_an_undeclared_column_is_found",
    "E406_TOKEN_MISMATCH": (
        "validators/test_consistency.py::test_a_report_of_another_identity_is_found"
    ),
    "E407_PK_DUPLICATE": ROWS,
    "E408_UNSORTED": ROWS,
    "E409_DISALLOWED_READ": (
        "validators/test_consistency.py::test_a_read_outside_the_contract_is_found"
    ),
    "E410_NONDETERMINISTIC_OUTPUT": (
        "pipeline/test_places.py"
        "::test_event_rows_that_were_removed_or_doubled_are_refused_when_read"
    ),
    "E411_TIE_RULE_VIOLATION": (
        "validators/test_consistency.py"
        "::test_a_tie_that_was_decided_otherwise_is_told_from_another_law"
    ),
    "E412_ZERO_ROW_EMITTED": ROWS,
    "E413_TILE_NOT_IN_INDEX": ROWS,
    "E414_WEIGHT_TAMPER": PLANS,
    "E415_RUN_REPORT_MISSING_FIELDS": ABSENT,
    "E416_NUMERIC_OVERFLOW": (
        "pipeline/test_places.py::test_a_requirement_beyond_the_exact_path_is_e416"
    ),
    "E417_LAW_VIOLATION": (
        "validators/test_consistency.py"
        "::test_a_tie_that_was_decided_otherwise_is_told_from_another_law"
    ),
    "E501_NO_S4_ALLOC_PLAN": NO_INPUT,
    "E502_PK_DUPLICATE_SITE": PLACE_ROWS,
    "E503_TILE_QUOTA_MISMATCH": (
        "pipeline/test_places.py::test_an_edited_plan_is_e410_and_e503_when_its_receipt_was_forged"
    ),
    "E504_SUM_TO_N_MISMATCH": PLACE_ROWS,
    "E505_TILE_NOT_IN_INDEX": (
        "pipeline/test_places.py::test_a_tile_that_left_the_index_is_e505_and_e606"
    ),
    "E506_SCHEMA_INVALID": "pipeline/test_places.py::test_a_value_that_no_site_can_have_is_e506",
    "E506_SCHEMA_EXTRAS": COLUMNS,
    "E507_RNG_EVENT_MISMATCH": (
        "validators/test_place_tampering.py::test_a_changed_audit_log_is_found"
    ),
    "E508_TOKEN_MISMATCH": SEALS,
    "E509_UNSORTED": PLANS,
    "E510_DISALLOWED_READ": REPORTS,
    "E511_INVALID_SEED": "test_identity.py::test_another_seed_is_refused",
    "E515_RUN_REPORT_MISSING_FIELDS": REPORTS,
    "E601_ROW_MISSING": NO_INPUT,
    "E602_ROW_EXTRA": PLACE_ROWS,
    "E603_DUP_KEY": PLACE_ROWS,
    "E604_PARTITION_OR_IDENTITY": PLACE_ROWS,
    "E605_SORT_VIOLATION": PLACE_ROWS,
    "E606_FK_TILE_INDEX": "pipeline/test_places.py::test_a_country_without_a_shape_is_e606",
    "E607_POINT_OUTSIDE_PIXEL": PLACE_ROWS,
    "E608_POINT_OUTSIDE_COUNTRY": PLACE_ROWS,
    "E609_RNG_EVENT_COUNT": PLACE_ROWS,
    "E610_RNG_BUDGET_OR_COUNTERS": REPORTS,
    "E611_LOG_PARTITION_LAW": (
        "validators/test_place_tampering.py::test_a_log_that_lies_elsewhere_is_found"
    ),
    "E612_DICT_SCHEMA_MISMATCH": COLUMNS,
    "E613_RESAMPLE_EXHAUSTED": (
        "pipeline/test_places.py::test_a_tile_that_lies_elsewhere_than_its_country_is_e613"
    ),
    "E701_ROW_MISSING": NO_INPUT,
    "E702_ROW_EXTRA": (
        "pipeline/test_places.py"
        "::test_s6_rows_that_are_not_those_of_s5_or_leave_their_tile_are_refuse"
        "d"
    ),
    "E703_DUP_KEY": PLACE_ROWS,
    "E704_SCHEMA_VIOLATION": COLUMNS,
    "E705_PARTITION_OR_IDENTITY": REPORTS,
    "E706_WRITER_SORT_VIOLATION": PLACE_ROWS,
    "E707_POINT_OUTSIDE_PIXEL": (
        "pipeline/test_places.py"
        "::test_s6_rows_that_are_not_those_of_s5_or_leave_their_tile_are_refuse"
        "d"
    ),
    "E708_1A_COVERAGE_FAIL": (
        "pipeline/test_places.py::test_a_plan_that_is_one_site_too_long_is_found_by_coverage"
    ),
    "E709_TILE_FK_VIOLATION": (
        "pipeline/test_places.py::test_a_tile_without_bounds_is_e606_and_e709"
    ),
    "E710_ORDER_LEAK": COLUMNS,
    "E711_DICT_SCHEMA_MISMATCH": (
        "pipeline/test_places.py::test_a_dictionary_that_disagrees_with_its_schema_is_e711_and_e808"
    ),
    "E712_ATOMIC_PUBLISH_VIOLATION": COMMITTED,
    "E801_ROW_MISSING": NO_INPUT,
    "E802_ROW_EXTRA": PLACE_ROWS,
    "E803_DUP_KEY": PLACE_ROWS,
    "E804_SCHEMA_VIOLATION": COLUMNS,
    "E805_PARTITION_OR_IDENTITY": "pipeline/test_places.py::test_a_report_of_other_tokens_is_e805",
    "E806_WRITER_SORT_VIOLATION": PLACE_ROWS,
    "E807_ORDER_LEAK": COLUMNS,
    "E808_DICT_SCHEMA_MISMATCH": (
        "pipeline/test_places.py::test_a_dictionary_that_disagrees_with_its_schema_is_e711_and_e808"
    ),
    "E809_PARTITION_SHIFT_VIOLATION": SEALS,
    "E810_PUBLISH_POSTURE": COMMITTED,
    "E811_FINAL_FLAG_MISMATCH": (
        "pipeline/test_places.py::test_a_dictionary_without_finality_is_e811_and_e911"
    ),
    "E812_RESOLUTION_DISCIPLINE": REPORTS,
    "E901_ROW_MISSING": NO_INPUT,
    "E902_ROW_EXTRA": "pipeline/test_places.py::test_a_location_too_many_is_e902",
    "E903_DUP_KEY": ACCEPTANCE,
    "E904_EGRESS_SCHEMA_VIOLATION": ACCEPTANCE,
    "E905_PARTITION_OR_IDENTITY": SEALS,
    "E906_WRITER_SORT_VIOLATION": ACCEPTANCE,
    "E907_RNG_BUDGET_OR_COUNTERS": ACCEPTANCE,
    "E908_BUNDLE_CONTENTS_MISSING": FORGED,
    "E909_INDEX_INVALID": FORGED,
    "E910_FLAG_BAD_OR_MISSING": FORGED,
    "E911_FINALITY_OR_ORDER_LEAK": (
        "pipeline/test_places.py::test_a_dictionary_without_finality_is_e811_and_e911"
    ),
    "E912_IDENTITY_COHERENCE": "pipeline/test_places.py::test_locations_of_another_policy_are_e912",
    "E913_ATOMIC_PUBLISH_VIOLATION": (
        "pipeline/test_places.py::test_another_bundle_is_never_overwritten"
    ),
    "E914_DRAW_REPLAY_MISMATCH": ACCEPTANCE,
    "E915_POINT_OUTSIDE_COUNTRY": ACCEPTANCE,
    "E916_COVERAGE_1A": ACCEPTANCE,
    "E918_UPSTREAM_NOT_PROVEN": (
        "validators/test_tile_proof.py::test_a_moved_weight_whose_receipts_were_forged_does_not_pass_s9"
    ),
    "E917_REALISM_BOUND": (
        "pipeline/test_places.py::test_a_planet_beyond_a_bound_of_the_policy_is_e917"
    ),
}

CANNOT_ARISE: dict[str, str] = {
    "E_OUTLET_CATALOGUE_FORBIDDEN_BEFORE_PASS": (
        "only a fault of the program could open the outlets before the gate has passed"
    ),
}


def test_every_code_has_its_test_or_a_reason() -> None:
    """No code of the package is missing, and none is listed that is gone."""
    assert sorted([*PROVOKED_BY, *CANNOT_ARISE]) == sorted(CODES)


@pytest.mark.parametrize("code", PROVOKED_BY)
def test_the_test_of_a_code_is_there_and_its_file_names_the_code(code: str) -> None:
    file, _, function = PROVOKED_BY[code].partition("::")
    text = (TESTS / file).read_text(encoding="utf-8")
    assert f"def {function}(" in text
    assert code in text


@pytest.mark.parametrize("code", CANNOT_ARISE)
def test_a_code_that_cannot_arise_has_a_reason_and_no_test(code: str) -> None:
    """When a test comes to provoke it after all, the table is to say so."""
    assert CANNOT_ARISE[code]
    this = Path(__file__)
    others = [path for path in TESTS.rglob("test_*.py") if path != this]
    assert not [path for path in others if f'"{code}"' in path.read_text(encoding="utf-8")]
