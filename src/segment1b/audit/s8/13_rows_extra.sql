-- code: E802_ROW_EXTRA
-- scope: S
-- proves: every location is a site of s7_site_synthesis
-- needs: s7_site_synthesis, site_locations
-- settled: s7_site_synthesis and site_locations by lon_deg, lat_deg
SELECT l.merchant_id, l.legal_country_iso, l.site_order
FROM site_locations AS l
ANTI JOIN s7_site_synthesis AS y
    ON y.merchant_id = l.merchant_id
    AND y.legal_country_iso = l.legal_country_iso
    AND y.site_order = l.site_order
ORDER BY 1, 2, 3
