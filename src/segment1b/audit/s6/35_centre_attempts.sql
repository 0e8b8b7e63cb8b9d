-- code: E610_RNG_BUDGET_OR_COUNTERS
-- scope: S
-- proves: a site is at one of its tile's centres after 1 to 64 attempts, in the tail after one, or
--   has none after 64
SELECT
    merchant_id, legal_country_iso, site_order, e.blocks, e.centre AS found,
    t.centres AS expected_at_most
FROM rng_event_centre_jitter AS e
JOIN s6_site_jitter AS j USING (merchant_id, legal_country_iso, site_order)
LEFT JOIN centre_tiles AS t ON t.country_iso = legal_country_iso AND t.tile_id = j.tile_id
WHERE NOT coalesce(
    CASE
        WHEN e.centre > 0 THEN e.centre <= t.centres AND e.blocks BETWEEN 1 AND 64
        ELSE e.blocks IN (1, 64)
    END,
    false
)
ORDER BY 1, 2, 3
