-- code: E609_RNG_EVENT_COUNT
-- scope: S
-- proves: every site that is not at a centre has one row in the event log, and every row its site
-- settled: drawn_in_cell and rng_event_in_cell_jitter
SELECT
    merchant_id, legal_country_iso, site_order,
    CASE WHEN e.merchant_id IS NULL THEN 'no event' ELSE 'an event' END AS found,
    CASE WHEN s.merchant_id IS NULL THEN 'no event' ELSE 'an event' END AS expected
FROM drawn_in_cell AS s
FULL JOIN rng_event_in_cell_jitter AS e USING (merchant_id, legal_country_iso, site_order)
WHERE s.merchant_id IS NULL OR e.merchant_id IS NULL
ORDER BY 1, 2, 3
