-- code: E702_ROW_EXTRA
-- scope: S
-- proves: every coordinate is the tile's centroid plus S6's offset, wrapped at 180, bit for bit
-- needs: s6_site_jitter, s7_site_synthesis, used_tile_bounds
WITH joined AS (
    SELECT
        y.merchant_id, y.legal_country_iso, y.site_order, y.lon_deg, y.lat_deg,
        b.centroid_lon_deg + j.delta_lon_deg AS lon_sum,
        b.centroid_lat_deg + j.delta_lat_deg AS expected_lat
    FROM s7_site_synthesis AS y
    JOIN s6_site_jitter AS j
        ON j.merchant_id = y.merchant_id
        AND j.legal_country_iso = y.legal_country_iso
        AND j.site_order = y.site_order
    JOIN used_tile_bounds AS b ON b.country_iso = y.legal_country_iso AND b.tile_id = j.tile_id
),
wrapped AS (
    SELECT
        *,
        CASE
            WHEN lon_sum >= 180 THEN lon_sum - 360
            WHEN lon_sum < -180 THEN lon_sum + 360
            ELSE lon_sum
        END AS expected_lon
    FROM joined
)
SELECT
    merchant_id, legal_country_iso, site_order,
    lon_deg AS found, expected_lon AS expected, lat_deg AS found_lat, expected_lat
FROM wrapped
WHERE lon_deg IS DISTINCT FROM expected_lon OR signbit(lon_deg) <> signbit(expected_lon)
   OR lat_deg IS DISTINCT FROM expected_lat OR signbit(lat_deg) <> signbit(expected_lat)
ORDER BY 1, 2, 3
