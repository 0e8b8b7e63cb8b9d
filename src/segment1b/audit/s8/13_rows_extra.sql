-- code: E802_ROW_EXTRA
-- scope: S
-- proves: every location is a site of s7_site_synthesis
-- settled: s7_site_synthesis and site_locations by lon_deg, lat_deg
SELECT merchant_id, legal_country_iso, site_order
FROM site_locations
ANTI JOIN s7_site_synthesis USING (merchant_id, legal_country_iso, site_order)
ORDER BY 1, 2, 3
