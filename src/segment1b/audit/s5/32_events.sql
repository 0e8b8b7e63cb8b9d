-- code: E507_RNG_EVENT_MISMATCH
-- scope: S
-- proves: each site has one event when sites are permuted, and none when each takes its own point
-- needs: parameter_policy_1B
SELECT
    merchant_id, legal_country_iso, site_order, e.word AS found,
    CASE WHEN s.merchant_id IS NULL THEN 'no event' ELSE 'one event' END AS expected
FROM (FROM s5_site_tile_assignment WHERE (SELECT law FROM run) <> 'stable') AS s
FULL JOIN rng_event_site_tile_assign AS e USING (merchant_id, legal_country_iso, site_order)
WHERE s.merchant_id IS NULL OR e.merchant_id IS NULL
ORDER BY 1, 2, 3
