-- code: E801_ROW_MISSING
-- scope: S
-- proves: every site of s7_site_synthesis has a location
-- settled: s7_site_synthesis and site_locations by lon_deg, lat_deg
SELECT merchant_id, legal_country_iso, site_order
FROM s7_site_synthesis
ANTI JOIN site_locations USING (merchant_id, legal_country_iso, site_order)
ORDER BY 1, 2, 3
