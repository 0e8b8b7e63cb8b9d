-- code: E601_ROW_MISSING
-- scope: S
-- proves: every site of s5_site_tile_assignment has a row in s6_site_jitter
-- needs: s5_site_tile_assignment, s6_site_jitter
-- settled: s5_site_tile_assignment and s6_site_jitter by tile_id
SELECT s.merchant_id, s.legal_country_iso, s.site_order, s.tile_id
FROM s5_site_tile_assignment AS s
ANTI JOIN s6_site_jitter AS j
    ON j.merchant_id = s.merchant_id
    AND j.legal_country_iso = s.legal_country_iso
    AND j.site_order = s.site_order
ORDER BY 1, 2, 3
