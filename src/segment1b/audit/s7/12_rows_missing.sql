-- code: E701_ROW_MISSING
-- scope: S
-- proves: every site of S5 and every site of S6 has a row in s7_site_synthesis
-- needs: s5_site_tile_assignment, s6_site_jitter, s7_site_synthesis
-- settled: s5_site_tile_assignment and s7_site_synthesis by tile_id; s6_site_jitter and s7_site_synthesis by tile_id
SELECT merchant_id, legal_country_iso, site_order, missing_from
FROM (
    SELECT s.merchant_id, s.legal_country_iso, s.site_order, 's7, though in s5' AS missing_from
    FROM s5_site_tile_assignment AS s
    ANTI JOIN s7_site_synthesis AS y
        ON y.merchant_id = s.merchant_id
        AND y.legal_country_iso = s.legal_country_iso
        AND y.site_order = s.site_order
    UNION ALL
    SELECT s.merchant_id, s.legal_country_iso, s.site_order, 's7, though in s6'
    FROM s6_site_jitter AS s
    ANTI JOIN s7_site_synthesis AS y
        ON y.merchant_id = s.merchant_id
        AND y.legal_country_iso = s.legal_country_iso
        AND y.site_order = s.site_order
)
ORDER BY 1, 2, 3, 4
