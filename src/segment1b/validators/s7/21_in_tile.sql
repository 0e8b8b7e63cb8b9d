-- code: E707_POINT_OUTSIDE_PIXEL
-- scope: S
-- proves: every point lies in its tile, edges included, and west of 180
-- needs: s7_site_synthesis, used_tile_bounds
SELECT
    y.merchant_id, y.legal_country_iso, y.site_order, y.tile_id, y.lon_deg, y.lat_deg,
    b.min_lon_deg, b.max_lon_deg, b.min_lat_deg, b.max_lat_deg
FROM s7_site_synthesis AS y
JOIN used_tile_bounds AS b ON b.country_iso = y.legal_country_iso AND b.tile_id = y.tile_id
WHERE NOT coalesce(
    y.lat_deg BETWEEN b.min_lat_deg AND b.max_lat_deg
    AND y.lon_deg >= -180 AND y.lon_deg < 180
    AND CASE
        WHEN b.min_lon_deg <= b.max_lon_deg
            THEN y.lon_deg BETWEEN b.min_lon_deg AND b.max_lon_deg
        ELSE y.lon_deg >= b.min_lon_deg OR y.lon_deg <= b.max_lon_deg
    END,
    false
)
ORDER BY 1, 2, 3
