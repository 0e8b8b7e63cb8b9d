-- code: E609_RNG_EVENT_COUNT
-- scope: S
-- proves: every site has one row in the event log, and every row its site
-- needs: s6_site_jitter, rng_event_in_cell_jitter
-- settled: s6_site_jitter and rng_event_in_cell_jitter
SELECT
    coalesce(s.merchant_id, e.merchant_id) AS merchant_id,
    coalesce(s.legal_country_iso, e.legal_country_iso) AS legal_country_iso,
    coalesce(s.site_order, e.site_order) AS site_order,
    CASE WHEN e.merchant_id IS NULL THEN 'no event' ELSE 'an event' END AS found,
    CASE WHEN s.merchant_id IS NULL THEN 'no event' ELSE 'an event' END AS expected
FROM s6_site_jitter AS s
FULL JOIN rng_event_in_cell_jitter AS e
    ON e.merchant_id = s.merchant_id
    AND e.legal_country_iso = s.legal_country_iso
    AND e.site_order = s.site_order
WHERE s.merchant_id IS NULL OR e.merchant_id IS NULL
ORDER BY 1, 2, 3
