"""The ten states: each reads sealed inputs, applies one law and publishes one dataset.

    outlet list, by merchant
      -> S3 requirements
           -> by country: S4 plan, S5 tiles, S6 points, S7 coordinates
                -> by merchant: S8 site_locations -> S9 proof and flag

S1 tiles and S2 weights depend on no outlet list. Weights and shapes belong to countries, datasets
are sorted by merchant: S4 to S7 each split their input by country (`by_country`), and the pipeline
gathers their pieces by merchant. See docs/spec/index.md#the-way-of-the-data.
"""

from segment1b.states.protocol import State
from segment1b.states.s0_gate import S0Gate
from segment1b.states.s1_tiles import S1Tiles
from segment1b.states.s2_trade_weights import S2TradeWeights
from segment1b.states.s2_weights import S2Weights
from segment1b.states.s3_requirements import S3Requirements
from segment1b.states.s4_alloc_plan import S4AllocPlan
from segment1b.states.s5_assignment import S5Assignment
from segment1b.states.s6_jitter import S6Jitter
from segment1b.states.s7_synthesis import S7Synthesis
from segment1b.states.s8_egress import S8Egress
from segment1b.states.s9_validation import S9Validation

#: What S2 publishes for each trade, beside its own dataset.
TRADES = S2TradeWeights()
#: The states by id, in the order in which they run.
STATES: dict[str, State] = {
    state.id: state
    for state in (
        S0Gate(),
        S1Tiles(),
        S2Weights(),
        S3Requirements(),
        S4AllocPlan(),
        S5Assignment(),
        S6Jitter(),
        S7Synthesis(),
        S8Egress(),
        S9Validation(),
    )
}
