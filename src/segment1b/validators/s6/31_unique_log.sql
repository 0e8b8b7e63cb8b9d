-- code: E609_RNG_EVENT_COUNT
-- scope: S
-- proves: each site key stands once in rng_event_in_cell_jitter
-- needs: rng_event_in_cell_jitter
SELECT merchant_id, legal_country_iso, site_order, count(*) AS found, 1 AS expected
FROM rng_event_in_cell_jitter
GROUP BY merchant_id, legal_country_iso, site_order
HAVING count(*) > 1
ORDER BY 1, 2, 3
