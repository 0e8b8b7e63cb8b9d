-- code: E502_PK_DUPLICATE_SITE
-- scope: S
-- proves: each site key stands once in s5_site_tile_assignment
-- needs: s5_site_tile_assignment
WITH steps AS (
    SELECT
        row(merchant_id, legal_country_iso, site_order)
            <= lag(row(merchant_id, legal_country_iso, site_order)) OVER () AS stays
    FROM s5_site_tile_assignment
)
SELECT merchant_id, legal_country_iso, site_order, count(*) AS found, 1 AS expected
FROM s5_site_tile_assignment
-- Keys that rise from row to row are unique; only others must be counted.
WHERE (SELECT coalesce(bool_or(stays), false) FROM steps)
GROUP BY merchant_id, legal_country_iso, site_order
HAVING count(*) > 1
ORDER BY merchant_id, legal_country_iso, site_order
