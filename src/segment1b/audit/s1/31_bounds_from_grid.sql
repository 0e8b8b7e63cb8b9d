-- code: E004_BOUNDS
-- scope: T
-- proves: bounds are the cell's edges, latitudes clamped to +-90, longitudes wrapped, and
--   min_lon_deg > max_lon_deg marks the cells across the date line and no other, bit for bit
-- needs: population_raster_2025
-- Row and column come from tile_id alone.
SELECT
    country_iso, tile_id,
    min_lon_deg, west, max_lon_deg, east, centroid_lon_deg, middle_lon,
    min_lat_deg, south, max_lat_deg, north, centroid_lat_deg, middle_lat
FROM (
    SELECT *, tile_id // ncols::UBIGINT AS raster_row, tile_id % ncols::UBIGINT AS raster_col
    FROM tile_bounds, run
)
LEFT JOIN grid_rows USING (raster_row)
LEFT JOIN grid_columns USING (raster_col)
WHERE bits_differ(min_lon_deg, west)
   OR bits_differ(max_lon_deg, east)
   OR bits_differ(centroid_lon_deg, middle_lon)
   OR bits_differ(min_lat_deg, south)
   OR bits_differ(max_lat_deg, north)
   OR bits_differ(centroid_lat_deg, middle_lat)
   OR NOT min_lat_deg < max_lat_deg
ORDER BY country_iso, tile_id
