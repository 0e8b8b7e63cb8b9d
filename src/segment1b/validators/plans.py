"""The plan of checks of each state."""

from __future__ import annotations

from collections.abc import Mapping

from segment1b.validators.case import StateChecks
from segment1b.validators.s0 import checks as s0
from segment1b.validators.s1 import checks as s1
from segment1b.validators.s2 import checks as s2
from segment1b.validators.s3 import checks as s3
from segment1b.validators.s4 import checks as s4

PLANS: Mapping[str, StateChecks] = {
    plan.id: plan for plan in (s0.PLAN, s1.PLAN, s2.PLAN, s3.PLAN, s4.PLAN)
}
