-- code: E701_ROW_MISSING
-- scope: S
-- proves: every site of S5 and every site of S6 has a row in s7_site_synthesis
-- settled: s5_site_tile_assignment and s7_site_synthesis by tile_id; s6_site_jitter and s7_site_synthesis by tile_id
SELECT merchant_id, legal_country_iso, site_order, 's7, though in s5' AS missing_from
FROM s5_site_tile_assignment
ANTI JOIN s7_site_synthesis USING (merchant_id, legal_country_iso, site_order)
UNION ALL
SELECT merchant_id, legal_country_iso, site_order, 's7, though in s6'
FROM s6_site_jitter
ANTI JOIN s7_site_synthesis USING (merchant_id, legal_country_iso, site_order)
ORDER BY 1, 2, 3, 4
