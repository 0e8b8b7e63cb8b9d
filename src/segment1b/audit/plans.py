"""The plan of checks of each state."""

from __future__ import annotations

from collections.abc import Mapping

from segment1b.audit.case import StateChecks
from segment1b.audit.s0 import checks as s0
from segment1b.audit.s1 import checks as s1
from segment1b.audit.s2 import checks as s2
from segment1b.audit.s2_trade import checks as s2_trade
from segment1b.audit.s3 import checks as s3
from segment1b.audit.s4 import checks as s4
from segment1b.audit.s5 import checks as s5
from segment1b.audit.s6 import checks as s6
from segment1b.audit.s7 import checks as s7
from segment1b.audit.s8 import checks as s8
from segment1b.audit.s9 import checks as s9

PLANS: Mapping[str, StateChecks] = {
    state.PLAN.id: state.PLAN for state in (s0, s1, s2, s3, s4, s5, s6, s7, s8, s9)
}
#: What is checked of the weights of each trade, beside S2.
TRADES = s2_trade.PLAN
