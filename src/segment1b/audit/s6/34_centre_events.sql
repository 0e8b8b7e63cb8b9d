-- code: E609_RNG_EVENT_COUNT
-- scope: S
-- proves: every site in a tile with centres has one row in their event log, and every row its site
SELECT
    merchant_id, legal_country_iso, site_order,
    CASE WHEN e.merchant_id IS NULL THEN 'no event' ELSE 'an event' END AS found,
    CASE WHEN s.merchant_id IS NULL THEN 'no event' ELSE 'an event' END AS expected
FROM (
    SELECT merchant_id, legal_country_iso, site_order
    FROM s6_site_jitter AS j
    SEMI JOIN centre_tiles AS t ON t.country_iso = j.legal_country_iso AND t.tile_id = j.tile_id
) AS s
FULL JOIN rng_event_centre_jitter AS e USING (merchant_id, legal_country_iso, site_order)
WHERE s.merchant_id IS NULL OR e.merchant_id IS NULL
ORDER BY 1, 2, 3
