-- code: E507_RNG_EVENT_MISMATCH
-- scope: S
-- proves: each site key stands once in rng_event_site_tile_assign
-- needs: rng_event_site_tile_assign
WITH steps AS (
    SELECT
        row(merchant_id, legal_country_iso, site_order)
            <= lag(row(merchant_id, legal_country_iso, site_order)) OVER () AS stays
    FROM rng_event_site_tile_assign
)
SELECT merchant_id, legal_country_iso, site_order, count(*) AS found, 1 AS expected
FROM rng_event_site_tile_assign
-- Keys that rise from row to row are unique; only others must be counted.
WHERE (SELECT coalesce(bool_or(stays), false) FROM steps)
GROUP BY merchant_id, legal_country_iso, site_order
HAVING count(*) > 1
ORDER BY merchant_id, legal_country_iso, site_order
