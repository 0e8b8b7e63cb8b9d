-- code: E702_ROW_EXTRA
-- scope: S
-- proves: every row of s7_site_synthesis is a site of S5 and of S6, in the same tile of both
-- settled: s5_site_tile_assignment and s7_site_synthesis by tile_id; s6_site_jitter and s7_site_synthesis by tile_id
SELECT
    merchant_id, legal_country_iso, site_order, y.tile_id AS found,
    s5.tile_id AS expected_by_s5, s6.tile_id AS expected_by_s6
FROM s7_site_synthesis AS y
LEFT JOIN s5_site_tile_assignment AS s5 USING (merchant_id, legal_country_iso, site_order)
LEFT JOIN s6_site_jitter AS s6 USING (merchant_id, legal_country_iso, site_order)
WHERE s5.tile_id IS DISTINCT FROM y.tile_id OR s6.tile_id IS DISTINCT FROM y.tile_id
ORDER BY 1, 2, 3
