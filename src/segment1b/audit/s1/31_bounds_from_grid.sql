-- code: E004_BOUNDS
-- scope: T
-- proves: bounds are the cell's edges, latitudes clamped to +-90, longitudes wrapped, and
--   min_lon_deg > max_lon_deg marks the cells across the date line and no other, bit for bit
-- needs: tile_bounds, grid_rows, grid_columns, population_raster_2025
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
WHERE min_lon_deg IS DISTINCT FROM west
   OR max_lon_deg IS DISTINCT FROM east
   OR centroid_lon_deg IS DISTINCT FROM middle_lon
   OR min_lat_deg IS DISTINCT FROM south
   OR max_lat_deg IS DISTINCT FROM north
   OR centroid_lat_deg IS DISTINCT FROM middle_lat
   OR NOT min_lat_deg < max_lat_deg
   -- Zeros are equal whatever their signs.
   OR signbit(min_lon_deg) <> signbit(west)
   OR signbit(max_lon_deg) <> signbit(east)
   OR signbit(centroid_lon_deg) <> signbit(middle_lon)
   OR signbit(min_lat_deg) <> signbit(south)
   OR signbit(max_lat_deg) <> signbit(north)
   OR signbit(centroid_lat_deg) <> signbit(middle_lat)
ORDER BY country_iso, tile_id
