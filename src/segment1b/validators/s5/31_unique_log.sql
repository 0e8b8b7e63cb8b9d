-- code: E507_RNG_EVENT_MISMATCH
-- scope: S
-- proves: each site key stands once in rng_event_site_tile_assign
-- needs: rng_event_site_tile_assign
SELECT merchant_id, legal_country_iso, site_order, count(*) AS found, 1 AS expected
FROM rng_event_site_tile_assign
GROUP BY merchant_id, legal_country_iso, site_order
HAVING count(*) > 1
ORDER BY 1, 2, 3
