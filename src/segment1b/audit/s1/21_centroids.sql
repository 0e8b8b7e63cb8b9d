-- code: E004_BOUNDS
-- scope: R
-- proves: centres are x0 + a*(col + 1/2), wrapped, and y0 - b*(row + 1/2), bit for bit
SELECT
    country_iso, tile_id, centroid_lon AS found_lon, centroid_lat AS found_lat,
    middle_lon AS expected_lon, middle_lat AS expected_lat
FROM tile_index
LEFT JOIN grid_rows USING (raster_row)
LEFT JOIN grid_columns USING (raster_col)
WHERE bits_differ(centroid_lon, middle_lon) OR bits_differ(centroid_lat, middle_lat)
ORDER BY country_iso, tile_id
