-- code: E801_ROW_MISSING
-- scope: S
-- proves: every site of s7_site_synthesis has a location
-- needs: s7_site_synthesis, site_locations
-- settled: s7_site_synthesis and site_locations by lon_deg, lat_deg
SELECT y.merchant_id, y.legal_country_iso, y.site_order
FROM s7_site_synthesis AS y
ANTI JOIN site_locations AS l
    ON l.merchant_id = y.merchant_id
    AND l.legal_country_iso = y.legal_country_iso
    AND l.site_order = y.site_order
ORDER BY 1, 2, 3
