-- code: E507_RNG_EVENT_MISMATCH
-- scope: S
-- proves: each site has one event when sites are permuted, and none when each takes its own point
-- needs: s5_site_tile_assignment, rng_event_site_tile_assign, parameter_policy_1B
SELECT
    coalesce(s.merchant_id, e.merchant_id) AS merchant_id,
    coalesce(s.legal_country_iso, e.legal_country_iso) AS legal_country_iso,
    coalesce(s.site_order, e.site_order) AS site_order,
    e.word AS found,
    CASE WHEN s.merchant_id IS NULL THEN 'no event' ELSE 'one event' END AS expected
FROM (
    SELECT merchant_id, legal_country_iso, site_order
    FROM s5_site_tile_assignment
    WHERE (SELECT law FROM run) <> 'stable'
) AS s
FULL JOIN rng_event_site_tile_assign AS e
    ON e.merchant_id = s.merchant_id
    AND e.legal_country_iso = s.legal_country_iso
    AND e.site_order = s.site_order
WHERE s.merchant_id IS NULL OR e.merchant_id IS NULL
ORDER BY 1, 2, 3
