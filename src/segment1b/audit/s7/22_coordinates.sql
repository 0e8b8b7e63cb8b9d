-- code: E702_ROW_EXTRA
-- scope: S
-- proves: every coordinate is the tile's centroid plus S6's offset, wrapped at 180, bit for bit
SELECT
    merchant_id, legal_country_iso, site_order,
    lon_deg AS found, lon AS expected, lat_deg AS found_lat, lat AS expected_lat
FROM s7_site_synthesis
JOIN jittered USING (merchant_id, legal_country_iso, site_order)
WHERE centroid_lon_deg IS NOT NULL AND (bits_differ(lon_deg, lon) OR bits_differ(lat_deg, lat))
ORDER BY 1, 2, 3
