-- code: E502_PK_DUPLICATE_SITE
-- scope: S
-- proves: each site key stands once in s5_site_tile_assignment
-- needs: s5_site_tile_assignment
SELECT merchant_id, legal_country_iso, site_order, count(*) AS found, 1 AS expected
FROM s5_site_tile_assignment
GROUP BY merchant_id, legal_country_iso, site_order
HAVING count(*) > 1
ORDER BY 1, 2, 3
