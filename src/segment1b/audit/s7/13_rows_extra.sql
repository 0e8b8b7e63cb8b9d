-- code: E702_ROW_EXTRA
-- scope: S
-- proves: every row of s7_site_synthesis is a site of S5 and of S6, in the same tile of both
-- needs: s5_site_tile_assignment, s6_site_jitter, s7_site_synthesis
-- settled: s5_site_tile_assignment and s7_site_synthesis by tile_id; s6_site_jitter and s7_site_synthesis by tile_id
SELECT
    y.merchant_id, y.legal_country_iso, y.site_order, y.tile_id AS found,
    s5.tile_id AS expected_by_s5, s6.tile_id AS expected_by_s6
FROM s7_site_synthesis AS y
LEFT JOIN s5_site_tile_assignment AS s5
    ON s5.merchant_id = y.merchant_id
    AND s5.legal_country_iso = y.legal_country_iso
    AND s5.site_order = y.site_order
LEFT JOIN s6_site_jitter AS s6
    ON s6.merchant_id = y.merchant_id
    AND s6.legal_country_iso = y.legal_country_iso
    AND s6.site_order = y.site_order
WHERE s5.tile_id IS DISTINCT FROM y.tile_id OR s6.tile_id IS DISTINCT FROM y.tile_id
ORDER BY 1, 2, 3
