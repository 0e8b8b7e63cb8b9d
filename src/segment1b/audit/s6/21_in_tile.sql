-- code: E607_POINT_OUTSIDE_PIXEL
-- scope: S
-- proves: every reconstructed point lies in its tile, edges included, and west of 180
SELECT
    merchant_id, legal_country_iso, site_order, tile_id, lon, lat,
    min_lon_deg, max_lon_deg, min_lat_deg, max_lat_deg
FROM jittered
WHERE NOT in_tile(lon, lat, min_lon_deg, max_lon_deg, min_lat_deg, max_lat_deg)
ORDER BY 1, 2, 3
