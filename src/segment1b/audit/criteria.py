"""Acceptance criteria of S9: which checks of which states each is made of, and their codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

STATES = ("s5", "s6", "s7", "s8")
_LOGS = {"s5": "rng_event_site_tile_assign", "s6": "rng_event_in_cell_jitter"}
_TABLES = {
    "s5": "s5_site_tile_assignment",
    "s6": "s6_site_jitter",
    "s7": "s7_site_synthesis",
    "s8": "site_locations",
}
_MISSING, _EXTRA = "E901_ROW_MISSING", "E902_ROW_EXTRA"
_DUPLICATE, _UNSORTED = "E903_DUP_KEY", "E906_WRITER_SORT_VIOLATION"
_UPSTREAM = "E918_UPSTREAM_NOT_PROVEN"


@dataclass(frozen=True)
class Criterion:
    """One acceptance check.

    Attributes:
        code: the error code of its failures, unless the failed check has one of its own.
        checks: by state, names of the checks that it is made of.
        codes: by name, error codes of checks whose failure means something else than `code`.
        whole: states of which every check counts.
        detail: what a passed criterion says.
    """

    code: str
    checks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    codes: Mapping[str, str] = field(default_factory=dict)
    whole: tuple[str, ...] = ()
    detail: str = ""

    @property
    def names(self) -> list[tuple[str, str]]:
        """Return (state, name) of each check, in order."""
        return [(state, name) for state, names in self.checks.items() for name in names]

    @property
    def passed(self) -> str:
        """Return the detail of the criterion when nothing failed."""
        return self.detail or f"{len(self.names)} checks passed"


def _every(check: str) -> dict[str, tuple[str, ...]]:
    """Return a check of each table of S5 to S8, event logs included."""
    return {
        state: tuple(
            f"{check}_{table}" for table in (_TABLES[state], _LOGS.get(state)) if table is not None
        )
        for state in STATES
    }


def _joined(*some: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    return {state: tuple(name for one in some for name in one.get(state, ())) for state in STATES}


_KEYS = ("rows_missing", "rows_extra", "unique", "sorted")
_CRITERIA: Mapping[str, Criterion] = {
    "A901": Criterion(
        _MISSING,
        {"s5": ("unique", "sorted", "sums"), "s6": _KEYS, "s7": _KEYS, "s8": _KEYS},
        {
            "sums": _MISSING,
            "rows_missing": _MISSING,
            "rows_extra": _EXTRA,
            "unique": _DUPLICATE,
            "sorted": _UNSORTED,
        },
    ),
    "A902": Criterion(
        "E904_EGRESS_SCHEMA_VIOLATION",
        _joined(
            _every("columns"),
            _every("values"),
            {
                "s5": ("country_codes", "tiles_of_the_country"),
                "s6": ("tiles_known", "in_tile", "country_codes", "dictionary"),
                "s7": ("tiles_known", "in_tile", "dictionary"),
                "s8": ("dictionary",),
            },
        ),
    ),
    "A903": Criterion(
        "E905_PARTITION_OR_IDENTITY",
        _joined(
            dict.fromkeys(STATES, ("tokens", "input_digests")),
            _every("receipt"),
            _every("stray_files"),
            {"s6": ("fingerprint", "log_path"), "s7": ("gate_flag",), "s8": ("resolution",)},
        ),
    ),
    "A904": Criterion(
        _UNSORTED,
        _joined(
            dict.fromkeys(STATES, ("sorted",)),
            _every("file_cut"),
            {"s5": ("sorted_log",), "s6": ("sorted_log",)},
        ),
    ),
    "A905": Criterion(
        "E907_RNG_BUDGET_OR_COUNTERS",
        {
            "s5": ("events", "unique_log", "trace", "trace_receipt", "audit", "report_totals"),
            "s6": (
                *("events", "unique_log", "attempts", "trace", "trace_receipt", "accounting"),
                "report_by_country",
            ),
            "s7": ("report_totals", "report_by_country"),
            "s8": ("report_totals", "report_by_country"),
        },
    ),
    "A911": Criterion(
        "E911_FINALITY_OR_ORDER_LEAK",
        _joined(dict.fromkeys(STATES, ("ranking",)), {"s8": ("final",)}),
    ),
    "A912": Criterion(
        "E912_IDENTITY_COHERENCE",
        {"s7": ("tokens",), "s8": ("tokens", "partition_shift", "resolution")},
    ),
    "A913": Criterion(
        "E914_DRAW_REPLAY_MISMATCH",
        {
            "s5": ("words", "permutation", "own_points", "quotas"),
            "s6": ("replay",),
            "s7": ("coordinates",),
            "s8": ("coordinates",),
        },
    ),
    "A914": Criterion("E915_POINT_OUTSIDE_COUNTRY", {"s8": ("locations_inside",)}),
    "A915": Criterion(
        "E916_COVERAGE_1A",
        {
            "s7": ("coverage_missing", "coverage_extra", "excluded_as_s3"),
            "s8": ("rows_missing", "rows_extra"),
        },
    ),
}
REALISM = Criterion("E917_REALISM_BOUND", detail="every figure is within the policy's bounds")


def whole_states(law: str) -> tuple[str, ...]:
    """Return the states before S5 whose every check S9 runs.

    Under the law `stable` S5's checks derive each count of S4 again, from the points of its sites.
    """
    return ("s3",) if law == "stable" else ("s3", "s4")


def criteria(law: str) -> dict[str, Criterion]:
    """Return the criteria that are made of checks, by id, under an allocation law."""
    whole = whole_states(law)
    listed = " and ".join(state.upper() for state in whole)
    return {
        **_CRITERIA,
        "A917": Criterion(_UPSTREAM, whole=whole, detail=f"every check of {listed} passed"),
        "A918": Criterion(
            _UPSTREAM, whole=("s1", "s2"), detail="every check of S1 and S2 passed on these files"
        ),
    }


def proves(law: str) -> dict[str, str]:
    """Return what S9 proves of each state, by state."""
    once = "every check of the validator, once for the tile files named here"
    every = "every check of the validator"
    gathered = "the checks gathered under A901 to A915"
    points = "the sites of each tile, derived again from the points of S5; not its run report"
    return {
        **dict.fromkeys(("s1", "s2"), once),
        "s3": every,
        "s4": points if law == "stable" else every,
        **dict.fromkeys(STATES, gathered),
    }


def wanted(state: str) -> set[str]:
    """Return the names of a state's checks that the criteria are made of."""
    return {name for one in _CRITERIA.values() for name in one.checks.get(state, ())}


def failure_code(criterion: Criterion, failed: Sequence[str]) -> str:
    """Return the code of a criterion some of whose checks failed, in order."""
    return criterion.codes.get(failed[0], criterion.code) if failed else criterion.code
