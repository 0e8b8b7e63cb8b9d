-- code: E702_ROW_EXTRA
-- scope: S
-- proves: every coordinate is the tile's centroid plus S6's offset, wrapped at 180, bit for bit
-- needs: s6_site_jitter, s7_site_synthesis, used_tile_bounds
SELECT
    merchant_id, legal_country_iso, site_order, lon_deg AS found,
    CASE
        WHEN b.centroid_lon_deg + j.delta_lon_deg >= 180
            THEN b.centroid_lon_deg + j.delta_lon_deg - 360
        WHEN b.centroid_lon_deg + j.delta_lon_deg < -180
            THEN b.centroid_lon_deg + j.delta_lon_deg + 360
        ELSE b.centroid_lon_deg + j.delta_lon_deg
    END AS expected,
    lat_deg AS found_lat, b.centroid_lat_deg + j.delta_lat_deg AS expected_lat
FROM s7_site_synthesis
JOIN s6_site_jitter AS j USING (merchant_id, legal_country_iso, site_order)
JOIN used_tile_bounds AS b ON b.country_iso = legal_country_iso AND b.tile_id = j.tile_id
WHERE lon_deg IS DISTINCT FROM expected OR signbit(lon_deg) <> signbit(expected)
   OR lat_deg IS DISTINCT FROM expected_lat OR signbit(lat_deg) <> signbit(expected_lat)
ORDER BY 1, 2, 3
