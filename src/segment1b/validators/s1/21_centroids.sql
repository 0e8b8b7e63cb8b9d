-- code: E004_BOUNDS
-- scope: R
-- proves: centres are x0 + a*(col + 1/2), y0 - b*(row + 1/2), on the globe, to 1e-9 degree
-- needs: tile_index, population_raster_2025
-- Longitudes are compared on the circle, as a centre past +-180 is wrapped.
SELECT *
FROM (
    SELECT
        i.country_iso, i.tile_id, i.centroid_lon AS found_lon, i.centroid_lat AS found_lat,
        run.x0 + run.a * (i.raster_col + 0.5) AS expected_lon,
        run.y0 - run.b * (i.raster_row + 0.5) AS expected_lat
    FROM tile_index AS i, run
)
WHERE NOT abs((found_lon - expected_lon + 900) % 360 - 180) <= 1e-9
   OR NOT abs(found_lat - expected_lat) <= 1e-9
   OR NOT abs(found_lon) <= 180
   OR NOT abs(found_lat) <= 90
ORDER BY country_iso, tile_id
