"""Checks of what the contracts declare, and of the trace and audit logs of random numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from segment1b.audit.case import Case, Checks
from segment1b.audit.proofs import prove_bytes
from segment1b.audit.results import Row, differences, fields_differ
from segment1b.contracts.texts import read_regular
from segment1b.identity import sha256_hex

AUDIT = "rng_audit_log"


@dataclass(frozen=True)
class Stream:
    """One stream of random numbers and where it is logged.

    Attributes:
        state, label, module: whose, as the logs name it.
        blocks: SQL for the blocks of a row of the event log; each block is an event.
        draws: words used of a block.
        code: for totals that disagree.
        prefix: of the names of its checks.
    """

    state: str
    label: str
    module: str
    blocks: str
    draws: int
    code: str
    prefix: str = ""

    @property
    def events(self) -> str:
        """Return the id of the event log."""
        return f"rng_event_{self.label}"

    @property
    def trace(self) -> str:
        """Return the id of the trace."""
        return f"rng_trace_{self.label}"

    @property
    def report(self) -> str:
        """Return the id of the run report."""
        return f"{self.state}_run_report"


ASSIGN = Stream("s5", "site_tile_assign", "1B.S5.assigner", "1", 1, "E507_RNG_EVENT_MISMATCH")
JITTER = Stream("s6", "in_cell_jitter", "1B.S6.jitter", "blocks", 2, "E610_RNG_BUDGET_OR_COUNTERS")
CENTRES = Stream("s6", "centre_jitter", JITTER.module, "blocks", 4, JITTER.code, "centre_")


def add_log_checks(checks: Checks, stream: Stream) -> None:
    """Add the checks of a stream's trace and of its receipt in the run report."""

    @checks.add(f"{stream.prefix}trace", stream.code, stream.events, stream.trace)
    def trace(case: Case) -> Iterator[Row]:
        """The trace has a row for each part of the event log, in order, with its running totals."""
        found, expected = case.published.document(stream.trace), totals(stream, case)
        yield from differences({"rows": len(found)}, {"rows": len(expected)})
        for line, counted in zip(found, expected, strict=False):
            yield from differences(line, counted, part=counted["part"])

    @checks.add(f"{stream.prefix}trace_receipt", stream.code, stream.trace, stream.report)
    def trace_receipt(case: Case) -> Iterator[Row]:
        """The trace has the bytes of the receipt that the run report carries."""
        path, dataset = case.published.path(stream.trace), case.published.dataset(stream.trace)
        folder = dataset.locate(case.published.tokens).rpartition("/")[0]
        rows = read_regular(path).count(b"\n")
        expected = prove_bytes(path.parent, [path]).receipt(folder, rows)
        return differences(case.report(stream.report)[dataset.receipt_field], expected)


def add_audit_check(checks: Checks, code: str, report: str) -> None:
    """Add the check of the audit row."""

    @checks.add("audit", code, AUDIT, report)
    def audit(case: Case) -> Iterator[Row]:
        """The audit log has one row, with this identity, as the run report has hashed it."""
        rows = case.published.document(AUDIT)
        yield from differences({"rows": len(rows)}, {"rows": 1})
        for row in rows:
            yield from fields_differ(row, dict(case.published.tokens))
        digest = sha256_hex(read_regular(case.published.path(AUDIT)))
        yield from fields_differ(case.report(report), {"audit_sha256_hex": digest})


def totals(stream: Stream, case: Case) -> list[dict[str, Any]]:
    """Return the rows that the trace of an event log must have, one for each of its parts."""
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


def add_dictionary_check(checks: Checks, code: str, *dataset_ids: str) -> None:
    """Add the check that dictionary and schemas agree on some datasets."""

    @checks.add(
        "dictionary", code, about=f"dictionary and schema agree on {', '.join(dataset_ids)}"
    )
    def dictionary(case: Case) -> Iterator[Row]:
        for dataset_id in dataset_ids:
            for problem in case.published.contracts.check():
                if problem.startswith(f"{dataset_id}:"):
                    yield {"dataset": dataset_id, "reason": problem}


def add_run_id_check(checks: Checks, code: str, stream: Stream, *needs: str) -> None:
    """Add the check that a log is stored under the run id that its tokens give."""
    events, report = stream.events, stream.report
    lies = f"{events} lies under the seed, parameter_hash and derived run_id of this identity"

    @checks.add(f"{stream.prefix}log_path", code, report, *needs, about=lies)
    def log_path(case: Case) -> Iterator[Row]:
        tokens, path = case.published.tokens, case.published.receipt(events)["partition_path"]
        found = {
            "run_id": case.report(report)["run_id"],
            "partition": [step for step in path.split("/") if "=" in step],
        }
        names = case.published.dataset(events).tokens
        steps = [f"{name.removeprefix('manifest_')}={tokens[name]}" for name in names]
        return differences(found, {"run_id": tokens["run_id"], "partition": steps}, dataset=events)
