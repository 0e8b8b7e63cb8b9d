"""The acceptance checks of S9 with a sentence for each."""

from __future__ import annotations

from typing import Any

from segment1b.page.published import World

#: What each check proves, as docs/spec/s9-proof.md#checks has it.
PROVES = {
    "A901": "S5 to S8 have the same site keys, each once and in order",
    "A902": "columns, types, ranges; tiles known; points in their tiles",
    "A903": "paths, reports and rows carry one identity; receipts hold",
    "A904": "order of rows and cut of files",
    "A905": "events, blocks and draws add up over log, trace, audit and report",
    "A911": "the dataset is final and ranks no country",
    "A912": "S7 and S8 are of one run; no parameter hash in the path",
    "A913": "words, tiles, points and coordinates are those derived again",
    "A914": "every location is strictly inside its country",
    "A915": "the locations are the outlets less the countries excluded by policy",
    "A916": "figures of realism are within the policy's bounds",
    "A917": "every check of S3, of S4 unless stable, and S0's of trades",
    "A918": "every check of S1 and S2",
}


def checks_of(world: World) -> list[dict[str, Any]]:
    """Return name, sentence, result, code and detail of each check, in order of their names."""
    return [
        {
            "check": name,
            "proves": (proof := PROVES.get(name, ""))[:1].upper() + proof[1:],
            **check,
            "detail": str(check["detail"]).replace("1 checks", "1 check")
            if str(check["detail"]).startswith("1 checks")
            else check["detail"],
        }
        for name, check in sorted(world.checks.items())
    ]
