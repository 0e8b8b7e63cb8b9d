-- code: E802_ROW_EXTRA
-- scope: S
-- proves: every location has the coordinates of its site in s7_site_synthesis, bit for bit
-- settled: s7_site_synthesis and site_locations by lon_deg, lat_deg
SELECT
    merchant_id, legal_country_iso, site_order,
    l.lon_deg AS found, y.lon_deg AS expected, l.lat_deg AS found_lat, y.lat_deg AS expected_lat
FROM site_locations AS l
JOIN s7_site_synthesis AS y USING (merchant_id, legal_country_iso, site_order)
WHERE bits_differ(l.lon_deg, y.lon_deg) OR bits_differ(l.lat_deg, y.lat_deg)
ORDER BY 1, 2, 3
