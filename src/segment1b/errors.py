"""The one exception of the package, the table of its codes, and text that is safe to print."""

from __future__ import annotations

import functools
import re
from typing import Any, Literal

Scope = Literal["R", "C", "P", "T", "S", "D"]

# C0 without tab and newline, DEL, C1, marks that reorder text or break lines, lone surrogates.
UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
#: Every code the package can raise, with its scope and meaning. Scopes: R run, C country, P pair,
#: T tile, S site, D dataset.
CODES: dict[str, tuple[Scope, str]] = {
    # Use, data root, contracts, policy
    "E_USAGE": ("R", "the command line or a run setting cannot be used as given"),
    "E_POLICY_INVALID": ("R", "a policy file or --set value has an unknown key or a bad value"),
    "E_PARAMETER_HASH_REUSED": ("R", "this parameter_hash is bound to another policy or surface"),
    "E_DATA_ROOT_UNUSABLE": ("R", "the data root is a file, read-only or cannot be reached"),
    "E_STORAGE_FULL": ("R", "no space left on the filesystem of the data root"),
    "E_STAGING_DAMAGED": ("R", "a staged file was changed after it was written"),
    "E_NOT_CONSERVED": ("R", "a state read more or fewer rows or sites than its inputs report"),
    "E_STORAGE_FAILED": ("R", "the disk, the mount or its lock service fails"),
    "E_RESOURCES_EXHAUSTED": ("R", "the process ran out of memory, threads or open files"),
    "E_STORE_UNAVAILABLE": ("R", "the object store throttles, fails or does not answer"),
    "E_STORE_DENIED": ("R", "the object store refuses the credentials"),
    "E_STORE_MISSING": ("R", "the object store has no such bucket"),
    "E_STORE_DAMAGED": ("R", "an object is absent, truncated or differs from its receipt"),
    "E_LOCKED": ("R", "another run works on the same identity"),
    "E_OUTLETS_INVALID": ("R", "an outlet list has bad rows"),
    "E_LIST_NAME_TAKEN": ("R", "another outlet list of the data root has this name"),
    "E_INPUT_UNREADABLE": ("R", "an input file is truncated, corrupted or not of its format"),
    "E_INPUT_TOO_LARGE": ("R", "an input file exceeds a limit"),
    "E_INPUT_SCHEMA_INVALID": ("R", "an input file lacks columns or has other types"),
    "E_WORKER_DIED": ("R", "a worker process ended before its shard was done"),
    "E_CLUSTER_UNREACHABLE": ("R", "a Dask cluster does not answer, has no workers or went away"),
    "E_CLUSTER_MISMATCH": ("R", "a worker of the cluster has another installation than the client"),
    "E_OUTPUT_LOST": ("R", "the output of a command could not be written to stdout"),
    "E_INTERRUPTED": ("R", "the run was interrupted by its user"),
    "E_INTERNAL": ("R", "the program itself is at fault"),
    "E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL": ("R", "other content is published there"),
    "E_DIGEST_VERSION": ("R", "a run report has content digests of another version"),
    "E_DISCARD_REFUSED": ("R", "another receipt uses the datasets that would be discarded"),
    "E_EVIDENCE_INVALID": ("R", "an evidence bundle is incomplete, changed or contradictory"),
    "E_EVIDENCE_NOT_REPRODUCED": ("D", "a repeated run produced other content"),
    # S0
    "E_BUNDLE_MISSING": ("R", "the validation bundle's folder is absent"),
    "E_INDEX_MISSING": ("R", "the bundle has no index.json"),
    "E_INDEX_INVALID": ("R", "index.json does not describe the bundle"),
    "E_PASS_MISSING": ("R", "the bundle has no _passed.flag"),
    "E_FLAG_FORMAT_INVALID": ("R", "_passed.flag is not 'sha256_hex = <64 hex digits>'"),
    "E_FLAG_HASH_MISMATCH": ("R", "the digest of the bundle is not that of the flag"),
    "E_PATH_EMBED_MISMATCH": ("R", "tokens in files differ from those of the run or the path"),
    "E_REFERENCE_SURFACE_MISSING": ("R", "an input file is absent"),
    "E_PARTITION_MISPLACED": ("R", "the outlet partition is absent or elsewhere"),
    "E_DICTIONARY_RESOLUTION_FAILED": ("R", "no path, licence or retention in the dictionary"),
    "E_SCHEMA_RESOLUTION_FAILED": ("R", "a schema reference cannot be resolved"),
    "E_EGRESS_CHECKSUM_MISMATCH": ("R", "outlet files differ from egress_checksums.json"),
    "E_OUTLET_CATALOGUE_FORBIDDEN_BEFORE_PASS": ("R", "outlets were opened before the gate"),
    "E_FORBIDDEN_SURFACE_READ": ("R", "an input that is not sealed was opened"),
    "E_RECEIPT_SCHEMA_INVALID": ("R", "the S0 receipt does not fit its schema"),
    # S1
    "E007_CRS_MISMATCH": ("R", "not EPSG:4326 (longitude first)"),
    "E001_GEO_INVALID": ("C", "a country's polygon is invalid or empty"),
    "E002_RASTER_MISMATCH": ("R", "the raster's grid is refused, or tile_id is not r*ncols+c"),
    "E003_DUP_TILE": ("C", "a tile is listed twice"),
    "E005_ISO_FK": ("C", "a polygon's code is not in the ISO table"),
    "E004_BOUNDS": ("R", "a tile's centre lies outside the globe"),
    "E006_AREA_NONPOS": ("R", "a tile's area is not positive"),
    "E008_INCLUSION_RULE": ("C", "a cell is wrongly in or out, or the rule is unknown"),
    "E009_PERF_BUDGET": ("R", "S1 exceeded its budget of bytes, time, memory or files"),
    # S2
    "E101_TILE_INDEX_MISSING": ("R", "tile_index is absent, malformed or has other digests"),
    "E102_FK_MISMATCH": ("C", "rows differ from tile_index, or the code is not ISO"),
    "E103_ZERO_COUNTRY": ("C", "a requested country has no tiles"),
    "E104_ZERO_MASS": ("C", "mass is zero without fallback, or the fallback was not needed"),
    "E105_NORMALIZATION": ("C", "bad mass, weights not summing to K, or limits exceeded"),
    "E106_MONOTONICITY": ("C", "a heavier tile weighs less"),
    "E107_DETERMINISM": ("R", "the receipt of tile_weights or tile_index is not reproduced"),
    "E108_WRITER_HYGIENE": ("R", "path, sort, stray file or missing report"),
    "E109_PERF_BUDGET": ("R", "S2 exceeded its budget of bytes, time, memory or files"),
    # S3
    "E301_NO_PASS_FLAG": ("R", "no S0 receipt for this fingerprint"),
    "E302_FK_COUNTRY": ("P", "not an upper-case ISO code"),
    "E303_MISSING_WEIGHTS": ("R", "tile_weights lacks countries that have outlets"),
    "E304_ZERO_SITES_ROW": ("P", "a pair with fewer than one site"),
    "E305_SCHEMA_INVALID": ("R", "s3_requirements has other types or values"),
    "E305_SCHEMA_EXTRAS": ("R", "s3_requirements has undeclared columns"),
    "E306_TOKEN_MISMATCH": ("R", "tokens or digests differ from the S0 receipt"),
    "E307_PK_DUPLICATE": ("R", "a pair occurs twice in s3_requirements"),
    "E308_COUNTS_MISMATCH": ("P", "rows, declared count and total disagree"),
    "E310_UNSORTED": ("R", "s3_requirements is not in key order"),
    "E311_DISALLOWED_READ": ("R", "an unsealed or undeclared dataset was opened"),
    "E312_ORDER_AUTHORITY_VIOLATION": ("R", "a column ranks countries"),
    "E313_NONDETERMINISTIC_OUTPUT": ("R", "the receipt of s3_requirements is not reproduced"),
    "E314_SITE_ORDER_INTEGRITY": ("P", "site_order is not dense 1..n, or site_id differs"),
    "E315_POLICY_ISO_UNKNOWN": ("R", "an excluded country code is not in the ISO table"),
    # S4
    "E401_NO_S3_REQUIREMENTS": ("R", "s3_requirements is absent or has no report"),
    "E402_MISSING_TILE_WEIGHTS": ("C", "a required country has no weights"),
    "E403_ZERO_TILE_UNIVERSE": ("C", "a required country has no tiles"),
    "E404_ALLOCATION_MISMATCH": ("P", "a pair's sites do not add up to its n"),
    "E405_SCHEMA_INVALID": ("R", "s4_alloc_plan has other columns, types or values"),
    "E406_TOKEN_MISMATCH": ("R", "tokens or input digests differ"),
    "E407_PK_DUPLICATE": ("R", "a tile occurs twice for a pair"),
    "E408_UNSORTED": ("R", "s4_alloc_plan is not in key order"),
    "E409_DISALLOWED_READ": ("R", "S4 opened a dataset outside its contract"),
    "E410_NONDETERMINISTIC_OUTPUT": ("R", "the receipt is not reproduced from the files"),
    "E411_TIE_RULE_VIOLATION": ("P", "equal remainders were not decided by ascending tile_id"),
    "E412_ZERO_ROW_EMITTED": ("R", "a row with no sites"),
    "E413_TILE_NOT_IN_INDEX": ("T", "a tile outside the country's index"),
    "E414_WEIGHT_TAMPER": ("C", "weights do not sum to K, or dp is mixed"),
    "E415_RUN_REPORT_MISSING_FIELDS": ("R", "the S4 run report is incomplete"),
    "E416_NUMERIC_OVERFLOW": ("C", "n*K exceeds the exact path"),
    "E417_LAW_VIOLATION": ("P", "the plan differs from the declared law"),
    # S5
    "E501_NO_S4_ALLOC_PLAN": ("R", "s4_alloc_plan is absent or empty"),
    "E502_PK_DUPLICATE_SITE": ("S", "a site key occurs twice"),
    "E503_TILE_QUOTA_MISMATCH": ("T", "a tile's sites are not S4's quota"),
    "E504_SUM_TO_N_MISMATCH": ("P", "a pair's sites are not S4's sum"),
    "E505_TILE_NOT_IN_INDEX": ("T", "a tile outside tile_index"),
    "E506_SCHEMA_INVALID": ("D", "s5_site_tile_assignment has other columns, types or values"),
    "E506_SCHEMA_EXTRAS": ("D", "s5_site_tile_assignment has undeclared columns"),
    "E507_RNG_EVENT_MISMATCH": ("S", "an event's row, budget, key or word is wrong"),
    "E508_TOKEN_MISMATCH": ("R", "tokens or input digests differ"),
    "E509_UNSORTED": ("D", "the plan or the assignment is not in key order"),
    "E510_DISALLOWED_READ": ("R", "an undeclared dataset was opened"),
    "E511_INVALID_SEED": ("R", "the seed is not an unsigned 64-bit number"),
    "E515_RUN_REPORT_MISSING_FIELDS": ("R", "a run report of S5 to S9 is incomplete"),
    # S6
    "E601_ROW_MISSING": ("S", "a site of S5 has no row in S6"),
    "E602_ROW_EXTRA": ("S", "a row of S6 has no site in S5"),
    "E603_DUP_KEY": ("S", "a site key occurs twice in S6"),
    "E604_PARTITION_OR_IDENTITY": ("D", "path and embedded lineage differ in S6"),
    "E605_SORT_VIOLATION": ("D", "s6_site_jitter is not in key order"),
    "E606_FK_TILE_INDEX": ("T", "a tile without index or bounds row, or a country without shape"),
    "E607_POINT_OUTSIDE_PIXEL": ("S", "a stored point lies outside its tile"),
    "E608_POINT_OUTSIDE_COUNTRY": ("S", "a stored point is not strictly inside its country"),
    "E609_RNG_EVENT_COUNT": ("S", "a site without event, or an event without site"),
    "E610_RNG_BUDGET_OR_COUNTERS": ("R", "totals of events, blocks and draws disagree"),
    "E611_LOG_PARTITION_LAW": ("R", "a log is not where its tokens place it"),
    "E612_DICT_SCHEMA_MISMATCH": ("R", "s6_site_jitter differs from its schema"),
    "E613_RESAMPLE_EXHAUSTED": ("T", "no usable point in the common area of tile and country"),
    # S7
    "E701_ROW_MISSING": ("S", "a site of S5 or S6 has no row in S7"),
    "E702_ROW_EXTRA": ("S", "a row too many in S7, or S5 and S6 disagree on the tile"),
    "E703_DUP_KEY": ("S", "a site key occurs twice in S7"),
    "E704_SCHEMA_VIOLATION": ("D", "s7_site_synthesis differs from its schema"),
    "E705_PARTITION_OR_IDENTITY": ("D", "path and embedded lineage differ in S7"),
    "E706_WRITER_SORT_VIOLATION": ("D", "s7_site_synthesis is not in key order"),
    "E707_POINT_OUTSIDE_PIXEL": ("S", "a joined point lies outside its tile"),
    "E708_1A_COVERAGE_FAIL": ("S", "the sites are not those of the outlet catalogue"),
    "E709_TILE_FK_VIOLATION": ("T", "a tile without bounds row"),
    "E710_ORDER_LEAK": ("D", "a column of S7 ranks countries"),
    "E711_DICT_SCHEMA_MISMATCH": ("R", "dictionary and schema of S7 disagree"),
    "E712_ATOMIC_PUBLISH_VIOLATION": ("D", "other content of S7 is published there"),
    # S8
    "E801_ROW_MISSING": ("S", "a site of S7 has no location"),
    "E802_ROW_EXTRA": ("S", "a location without site in S7, or other coordinates"),
    "E803_DUP_KEY": ("S", "a site key occurs twice in site_locations"),
    "E804_SCHEMA_VIOLATION": ("D", "site_locations differs from its schema"),
    "E805_PARTITION_OR_IDENTITY": ("D", "path and lineage differ in site_locations"),
    "E806_WRITER_SORT_VIOLATION": ("D", "site_locations is not in key order"),
    "E807_ORDER_LEAK": ("D", "a column of site_locations ranks countries"),
    "E808_DICT_SCHEMA_MISMATCH": ("R", "dictionary and schema of site_locations disagree"),
    "E809_PARTITION_SHIFT_VIOLATION": ("R", "parameter_hash is not the receipt's, or in the path"),
    "E810_PUBLISH_POSTURE": ("D", "other content of site_locations is published there"),
    "E811_FINAL_FLAG_MISMATCH": ("R", "site_locations is not final in its layer"),
    "E812_RESOLUTION_DISCIPLINE": ("R", "site_locations is not where the dictionary places it"),
    # S9
    "E901_ROW_MISSING": ("S", "a site is missing from one of S5 to S8"),
    "E902_ROW_EXTRA": ("S", "a site too many in one of S5 to S8"),
    "E903_DUP_KEY": ("S", "a site key occurs twice in one of S5 to S8"),
    "E904_EGRESS_SCHEMA_VIOLATION": ("D", "columns, types or ranges are wrong"),
    "E905_PARTITION_OR_IDENTITY": ("D", "path tokens and embedded lineage differ"),
    "E906_WRITER_SORT_VIOLATION": ("D", "a dataset is not in key order"),
    "E907_RNG_BUDGET_OR_COUNTERS": ("R", "the accounting of random numbers does not add up"),
    "E908_BUNDLE_CONTENTS_MISSING": ("R", "the validation bundle lacks files"),
    "E909_INDEX_INVALID": ("R", "the bundle's index does not describe it"),
    "E910_FLAG_BAD_OR_MISSING": ("R", "the bundle's flag is absent or wrong"),
    "E911_FINALITY_OR_ORDER_LEAK": ("R", "the egress is not final, or ranks countries"),
    "E912_IDENTITY_COHERENCE": ("R", "S7 and S8 are of different runs"),
    "E913_ATOMIC_PUBLISH_VIOLATION": ("D", "another validation bundle is published there"),
    "E914_DRAW_REPLAY_MISMATCH": ("S", "replayed draws differ from what is published"),
    "E915_POINT_OUTSIDE_COUNTRY": ("S", "a location is not strictly inside its country"),
    "E916_COVERAGE_1A": ("S", "the locations are not those of the outlet catalogue"),
    "E917_REALISM_BOUND": ("C", "a realism figure exceeds its bound, or is not that of the data"),
    "E918_UPSTREAM_NOT_PROVEN": ("R", "a check of S1 to S4 fails, or was not possible"),
}


#: Exit codes of a command that fails with one of these codes; 3 for every other one.
EXIT_CODES = {
    **dict.fromkeys(("E_USAGE", "E_POLICY_INVALID", "E_LIST_NAME_TAKEN"), 2),
    "E_LOCKED": 4,
    "E_INTERNAL": 70,
}


def redo(state: str) -> str:
    """Return the hint that discards what a state and those after it published, and repeats it."""
    return f"run 'segment1b discard --from-state {state}', then 'segment1b run'"


#: What to do about a code, unless the error knows better.
HINTS = {
    "E_POLICY_INVALID": "see contracts/policies for what each key takes",
    "E_DATA_ROOT_UNUSABLE": "give a writable directory as --data-root; check its permissions",
    "E_STORAGE_FULL": "free some space and run again; finished states are kept",
    "E_STAGING_DAMAGED": "nothing of this state was published: check the disk and run again",
    "E_STORAGE_FAILED": "check the disk, the mount and its lock service, then run again",
    "E_RESOURCES_EXHAUSTED": "give the process more memory, or use fewer workers",
    "E_STORE_MISSING": "create the bucket first, or correct --data-root and the endpoint",
    "E_STORE_DENIED": "renew AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or "
    "the credentials of your store, with permission to list, get, put and delete, and run again; "
    "nothing is half published",
    "E_STORE_UNAVAILABLE": "run again when the store is available: it continues where it stopped; "
    "nothing is half published",
    "E_LOCKED": "wait until the other process ends",
    "E_INPUT_UNREADABLE": "restore the file from its source, or correct it",
    "E_INPUT_TOO_LARGE": "keep only the rows that are needed, or simplify the shapes",
    "E_INPUT_SCHEMA_INVALID": "compare the columns of the files with the schema",
    "E_WORKER_DIED": "look for the out-of-memory killer, use fewer workers or more memory",
    "E_CLUSTER_MISMATCH": "install the same segment1b, Python and libraries on every machine",
    "E_INTERRUPTED": "run again: it goes on where it stopped",
    "E_INTERNAL": "report this with its traceback",
    "E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL": "published data never changes: use another root",
    "E_DIGEST_VERSION": redo("s1"),
    "E_BUNDLE_MISSING": "provide the bundle of 1A, or an outlet list with --outlets FILE",
    "E_REFERENCE_SURFACE_MISSING": "import it, or run 'segment1b reference fill'",
    "E001_GEO_INVALID": "repair the country's polygon (shapely.make_valid) or replace it",
    "E006_AREA_NONPOS": "the grid reaches past a pole: crop the raster",
    "E007_CRS_MISMATCH": "reproject it, for example with ogr2ogr -t_srs EPSG:4326",
    "E102_FK_MISMATCH": redo("s1"),
    "E301_NO_PASS_FLAG": "run 'segment1b run' first",
    "E302_FK_COUNTRY": "correct the outlet list: codes are never changed",
    "E303_MISSING_WEIGHTS": "add polygons for them, or exclude them with prep.exclude_countries",
    "E305_SCHEMA_INVALID": "correct the outlet list",
    "E311_DISALLOWED_READ": redo("s0"),
    "E315_POLICY_ISO_UNKNOWN": "use upper-case ISO 3166-1 alpha-2 codes",
    "E404_ALLOCATION_MISMATCH": "this is a fault of the law: report it with the inputs",
    "E414_WEIGHT_TAMPER": f"restore tile_weights, or {redo('s2')}",
    "E416_NUMERIC_OVERFLOW": "lower prep.dp or split the pair",
    "E501_NO_S4_ALLOC_PLAN": redo("s3"),
    "E509_UNSORTED": f"restore s4_alloc_plan, or {redo('s4')}",
    "E511_INVALID_SEED": "restore the bundle or receipt that names it, or give --seed",
    "E606_FK_TILE_INDEX": redo("s1"),
    "E613_RESAMPLE_EXHAUSTED": "repair the country's polygon at this tile, or exclude the country",
    "E708_1A_COVERAGE_FAIL": redo("s3"),
    "E809_PARTITION_SHIFT_VIOLATION": "the fingerprint covers it: remove it from the path",
    "E811_FINAL_FLAG_MISMATCH": "set final_in_layer: true",
}


class Segment1BError(Exception):
    """A failure with a code, a place and a way out.

    Args:
        code: a key of `CODES`.
        message: what is wrong, and where (file, country, merchant, row).
        hint: what to do about it; None for the default of the code.
        scope: the place as data: country_iso, merchant_id, tile_id, dataset, path, row, ...
    """

    def __init__(self, code: str, message: str, hint: str | None = None, **scope: Any) -> None:
        if code not in CODES:
            raise KeyError(code)
        hint = HINTS.get(code, "") if hint is None else hint
        self.code, self.message, self.hint, self.scope = code, message, hint, scope
        super().__init__(f"{code}: {message}" + (f" ({hint})" if hint else ""))

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions cross process boundaries by pickle, which passes positional arguments alone.
        again = functools.partial(Segment1BError, self.code, self.message, self.hint, **self.scope)
        return again, ()

    @property
    def exit_code(self) -> int:
        """Return the exit code: 2 usage, 3 a state failed, 4 locked, 70 internal."""
        return EXIT_CODES.get(self.code, 3)


def file_error(
    code: str, path: object, problem: str, hint: str | None = None, **scope: Any
) -> Segment1BError:
    """Return the error about a file or directory.

    The problem continues the sentence that the path begins: "is empty", or ": no column x".
    """
    joint = "" if problem[0] in ":," else " "
    return Segment1BError(code, f"{path}{joint}{problem}", hint, path=str(path), **scope)


#: Errors about input files, with the arguments of `file_error` after its code.
unreadable = functools.partial(file_error, "E_INPUT_UNREADABLE")
schema_invalid = functools.partial(file_error, "E_INPUT_SCHEMA_INVALID")
too_large = functools.partial(file_error, "E_INPUT_TOO_LARGE")


def pair_error(
    code: str, merchant: int, country: str, problem: str, hint: str | None = None, **scope: Any
) -> Segment1BError:
    """Return the error about a pair, or about a site or tile of it."""
    message = f"merchant {merchant} in {country}{problem if problem[0] == ',' else f': {problem}'}"
    scope |= {"merchant_id": int(merchant), "country_iso": country}
    return Segment1BError(code, message, hint, **scope)


def visible(text: str) -> str:
    r"""Return text whose control characters a terminal shows and does not obey: ESC is \x1b."""
    return UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
