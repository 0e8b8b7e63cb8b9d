-- code: E004_BOUNDS
-- scope: T
-- proves: bounds are the cell's edges, latitudes clamped to +-90, longitudes wrapped, and
--   min_lon_deg > max_lon_deg marks the cells across the date line and no other, bit for bit
-- needs: tile_bounds, grid_rows, grid_columns, population_raster_2025
-- Row and column come from tile_id alone.
SELECT *
FROM (
    SELECT
        b.country_iso, b.tile_id,
        b.min_lon_deg, c.west, b.max_lon_deg, c.east, b.centroid_lon_deg, c.middle_lon,
        b.min_lat_deg, r.south, b.max_lat_deg, r.north, b.centroid_lat_deg, r.middle_lat
    FROM (
        SELECT *, tile_id // ncols::UBIGINT AS raster_row, tile_id % ncols::UBIGINT AS raster_col
        FROM tile_bounds, run
    ) AS b
    LEFT JOIN grid_rows AS r USING (raster_row)
    LEFT JOIN grid_columns AS c USING (raster_col)
)
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
