-- code: E601_ROW_MISSING
-- scope: S
-- proves: every site of s5_site_tile_assignment has a row in s6_site_jitter
-- settled: s5_site_tile_assignment and s6_site_jitter by tile_id
SELECT merchant_id, legal_country_iso, site_order, tile_id
FROM s5_site_tile_assignment
ANTI JOIN s6_site_jitter USING (merchant_id, legal_country_iso, site_order)
ORDER BY 1, 2, 3
