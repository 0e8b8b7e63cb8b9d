"""The logs of random numbers: trace and audit against the event log they speak of."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from segment1b.audit.case import Case, Check
from segment1b.audit.results import CheckResult, Row, Rule, differences
from segment1b.contracts.texts import read_regular

AUDIT = "rng_audit_log"


@dataclass(frozen=True)
class Stream:
    """One stream of random numbers and where it is logged.

    Attributes:
        state, label, module: whose, as the logs name it.
        events, trace, report: dataset ids.
        blocks: SQL for the blocks of a row of the event log; each block is an event.
        draws: words used of a block.
        code: for totals that disagree.
    """

    state: str
    label: str
    module: str
    events: str
    trace: str
    report: str
    blocks: str
    draws: int
    code: str


ASSIGN = Stream(
    "s5",
    "site_tile_assign",
    "1B.S5.assigner",
    "rng_event_site_tile_assign",
    "rng_trace_site_tile_assign",
    "s5_run_report",
    "1",
    1,
    "E507_RNG_EVENT_MISMATCH",
)
JITTER = Stream(
    "s6",
    "in_cell_jitter",
    "1B.S6.jitter",
    "rng_event_in_cell_jitter",
    "rng_trace_in_cell_jitter",
    "s6_run_report",
    "blocks",
    2,
    "E610_RNG_BUDGET_OR_COUNTERS",
)


def log_checks(stream: Stream) -> list[Check]:
    """Return the checks of a stream's trace and of what the run report says of its logs."""

    def check(name: str, proves: str, needs: tuple[str, ...], run: Any) -> Check:
        rule = Rule(stream.state, name, stream.code, "R", proves)
        return Check(rule, needs, functools.partial(run, stream))

    return [
        check(
            "trace",
            "the trace has a row for each part of the event log, in order, with its running totals",
            (stream.events, stream.trace),
            _trace,
        ),
        check(
            "trace_receipt",
            "the trace has the bytes of the receipt that the run report carries",
            (stream.trace, stream.report),
            _trace_receipt,
        ),
    ]


def audit_check(state: str, code: str, report: str) -> Check:
    """Return the check of the audit row."""
    proves = "the audit log has one row, with this identity, as the run report has hashed it"
    return Check(
        Rule(state, "audit", code, "R", proves),
        (AUDIT, report),
        functools.partial(_audit, report),
    )


def totals(stream: Stream, case: Case) -> list[dict[str, Any]]:
    """Return what the trace of an event log has to say, a row for each of its parts."""
    tokens, running = case.published.tokens, 0
    counted = {
        row["part_name"]: int(row["events"])
        for row in case.session.rows(
            f"SELECT part_name, sum({stream.blocks})::HUGEINT AS events "  # noqa: S608
            f"FROM {stream.events} GROUP BY part_name"
        )
    }
    rows = []
    for number, path in enumerate(case.published.files(stream.events)):
        running += counted.get(path.name, 0)
        rows.append(
            {
                "run_id": tokens["run_id"],
                "seed": tokens["seed"],
                "module": stream.module,
                "substream_label": stream.label,
                "part": number,
                "events_total": running,
                "blocks_total": str(running),
                "draws_total": str(stream.draws * running),
            }
        )
    return rows


def _trace(stream: Stream, case: Case, rule: Rule) -> CheckResult:
    found, expected = case.published.lines(stream.trace), totals(stream, case)

    def unlike() -> Iterator[Row]:
        yield from differences({"rows": len(found)}, {"rows": len(expected)})
        for said, counted in zip(found, expected, strict=False):
            yield from differences(said, counted, part=counted["part"])

    return rule.judge(unlike())


def _trace_receipt(stream: Stream, case: Case, rule: Rule) -> CheckResult:
    published, said = case.published, case.report(stream.report)["trace_receipt"]
    path, where = published.path(stream.trace), published.dataset(stream.trace)
    data = read_regular(path)
    folder, _, name = where.locate(published.tokens).rpartition("/")
    expected = {
        "partition_path": folder,
        "files": [
            {"path": name, "bytes": len(data), "sha256_hex": hashlib.sha256(data).hexdigest()}
        ],
        "rows": data.count(b"\n"),
        **dict.fromkeys(("sha256_hex", "content_sha256_hex"), hashlib.sha256(data).hexdigest()),
    }
    return rule.judge(differences(said, expected))


def _audit(report: str, case: Case, rule: Rule) -> CheckResult:
    rows, tokens = case.published.lines(AUDIT), case.published.tokens

    def unlike() -> Iterator[Row]:
        yield from differences({"rows": len(rows)}, {"rows": 1})
        for row in rows:
            yield from differences({name: row[name] for name in tokens}, dict(tokens))
        data = read_regular(case.published.path(AUDIT))
        said = case.report(report)["audit_sha256_hex"]
        found = {"audit_sha256_hex": hashlib.sha256(data).hexdigest()}
        yield from differences(found, {"audit_sha256_hex": said})

    return rule.judge(unlike())
