-- code: E602_ROW_EXTRA
-- scope: S
-- proves: every row of s6_site_jitter is a site of s5_site_tile_assignment, in the same tile
-- settled: s5_site_tile_assignment and s6_site_jitter by tile_id
SELECT
    merchant_id, legal_country_iso, site_order, j.tile_id AS found, s.tile_id AS expected
FROM s6_site_jitter AS j
LEFT JOIN s5_site_tile_assignment AS s USING (merchant_id, legal_country_iso, site_order)
WHERE s.tile_id IS DISTINCT FROM j.tile_id
ORDER BY 1, 2, 3
