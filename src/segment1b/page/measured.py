"""How like real outlets the laws of trades and centres make outlets, and on what that rests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from segment1b.contracts.trades import EVERYTHING, load_trades
from segment1b.page.published import World


class Row(NamedTuple):
    """One figure of real outlets, of outlets that follow people alone, and of the laws.

    `held_out`: percents fitted without the country or the 2-degree block that is scored.
    """

    figure: str
    real: str = ""
    before: str = "0"
    held_out: str = ""
    laws: str = ""


#: Measured once, on seed 42 and cells of 0.1 degree; see docs/realism.md.
TRADES = (
    Row("bits an outlet over people: coffee", "", "0", "0.300", "0.357"),
    Row("bits: fast food, mean of five chains", "", "0", "0.327", "0.301"),
    Row("bits: convenience, mean of two chains", "", "0", "0.365", "0.350"),
    Row("bits: big box, mean of three chains", "", "0", "0.393", "0.348"),
    Row("bits: fuel, Italy", "", "0", "0.054", ""),
    Row("bits: car chargers", "", "0", "0.318", ""),
    Row("overlap at 0.5 degree: coffee, median of 30 countries", "1", "0.503", "0.677", "0.680"),
    Row("error of the top 1 % of cells: coffee, mean of 30", "0", "0.331", "0.133", "0.121"),
    Row("urban share: coffee", "0.866", "0.604", "0.903", "0.912"),
    Row("urban share: furniture", "0.872", "0.578", "0.860", "0.857"),
    Row("urban share: fast food", "0.633", "0.654", "", "0.648"),
    Row("urban share: convenience", "0.871", "0.654", "", "0.913"),
    Row("urban share: big box", "0.635", "0.654", "", "0.666"),
)
CENTRES = (
    Row("another chain within 250 m, 11 chains", "0.47", "0.08", "", "0.44"),
    Row("another chain within 500 m", "0.66", "0.21", "", "0.72"),
    Row("another chain within 1 km", "0.82", "0.43", "", "0.82"),
    Row("nearest outlet of the chain, KS, mean of 11", "0", "0.203", "", "0.152"),
    Row("Ripley's L to the real one at 5 km, mean of 11", "1", "1.31", "", "0.87"),
    Row("Ripley's L at 20 km", "1", "1.31", "", "1.00"),
    Row("Ripley's L at 50 km", "1", "1.27", "", "1.04"),
)


def measured_of(world: World, outlets: Mapping[str, int]) -> dict[str, Any] | None:
    """Return the measured figures that are about a run, and the basis of each of its trades.

    Args:
        world: the run.
        outlets: outlets by trade, `everything` among them; empty for a list without trades.

    Returns:
        rows, centres (whether they are used), sentence, and trades: name, outlets, basis of each.
        None for a run without trades and centres.
    """
    centres = bool(world.policy.get("jitter", {}).get("centres"))
    if not (outlets or centres):
        return None
    basis = {trade.id: trade.basis for trade in load_trades().trades}
    return {
        "rows": (TRADES if outlets else ()) + (CENTRES if centres else ()),
        "centres": centres,
        "sentence": _sentence(outlets, basis) if outlets else "",
        "trades": [(trade.replace("_", " "), n, basis[trade]) for trade, n in outlets.items()],
    }


def _sentence(outlets: Mapping[str, int], basis: Mapping[str, str]) -> str:
    """Return how many outlets have a trade that was fitted, one that is judged, and none."""
    kinds = {"fitted": 0, "judged": 0, "none": 0}
    for trade, n in outlets.items():
        fitted = "fitted" if basis[trade].startswith("fitted") else "judged"
        kinds["none" if trade == EVERYTHING else fitted] += n
    total = max(1, sum(kinds.values()))
    shares = {kind: f"{n / total:.0%}" for kind, n in kinds.items()}
    return (
        f"Of this run's outlets {shares['fitted']} have a trade whose weights were fitted on real "
        f"outlets, {shares['judged']} one whose weights are judged, with no real outlets behind "
        f"them, and {shares['none']} have no trade and follow people alone."
    )
