-- code: E610_RNG_BUDGET_OR_COUNTERS
-- scope: S
-- proves: the attempts of every site are those that the policy allows in its lane
SELECT
    e.merchant_id, e.legal_country_iso, e.site_order, e.lane, e.blocks AS found,
    p.first AS expected_at_least, p.last AS expected_at_most
FROM rng_event_in_cell_jitter AS e
LEFT JOIN jitter_policy AS p ON p.lane = e.lane
WHERE NOT coalesce(e.blocks BETWEEN p.first AND p.last, false)
ORDER BY 1, 2, 3
