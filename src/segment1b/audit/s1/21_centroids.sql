-- code: E004_BOUNDS
-- scope: R
-- proves: centres are x0 + a*(col + 1/2), wrapped, and y0 - b*(row + 1/2), bit for bit
-- needs: tile_index, grid_rows, grid_columns
SELECT
    i.country_iso, i.tile_id, i.centroid_lon AS found_lon, i.centroid_lat AS found_lat,
    c.middle_lon AS expected_lon, r.middle_lat AS expected_lat
FROM tile_index AS i
LEFT JOIN grid_rows AS r USING (raster_row)
LEFT JOIN grid_columns AS c USING (raster_col)
WHERE i.centroid_lon IS DISTINCT FROM c.middle_lon
   OR i.centroid_lat IS DISTINCT FROM r.middle_lat
   -- Zeros are equal whatever their signs.
   OR signbit(i.centroid_lon) <> signbit(c.middle_lon)
   OR signbit(i.centroid_lat) <> signbit(r.middle_lat)
ORDER BY i.country_iso, i.tile_id
