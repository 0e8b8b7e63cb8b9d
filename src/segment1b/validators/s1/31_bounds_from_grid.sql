-- code: E004_BOUNDS
-- scope: T
-- proves: bounds are the cell's edges, latitudes clamped to +-90, longitudes wrapped, and
--   min_lon_deg > max_lon_deg marks the cells across the date line and no other
-- needs: tile_bounds, population_raster_2025
-- Row and column come from tile_id alone. Longitudes are compared on the circle, to 1e-9 degree.
SELECT *
FROM (
    SELECT
        b.country_iso, b.tile_id,
        b.min_lon_deg, run.x0 + run.a * (b.tile_id % run.ncols) AS west,
        b.max_lon_deg, run.x0 + run.a * (b.tile_id % run.ncols + 1) AS east,
        b.centroid_lon_deg, run.x0 + run.a * (b.tile_id % run.ncols + 0.5) AS middle_lon,
        b.min_lat_deg, greatest(-90, run.y0 - run.b * (b.tile_id // run.ncols + 1)) AS south,
        b.max_lat_deg, least(90, run.y0 - run.b * (b.tile_id // run.ncols)) AS north,
        b.centroid_lat_deg, run.y0 - run.b * (b.tile_id // run.ncols + 0.5) AS middle_lat,
        -- The edges lie in different turns of 360 degrees counted from -180.
        floor((west + 180 + 1e-9) / 360) < floor((east + 180 - 1e-9) / 360) AS crosses
    FROM tile_bounds AS b, run
)
WHERE NOT abs((min_lon_deg - west + 900) % 360 - 180) <= 1e-9
   OR NOT abs((max_lon_deg - east + 900) % 360 - 180) <= 1e-9
   OR NOT abs((centroid_lon_deg - middle_lon + 900) % 360 - 180) <= 1e-9
   OR NOT abs(min_lat_deg - south) <= 1e-9
   OR NOT abs(max_lat_deg - north) <= 1e-9
   OR NOT abs(centroid_lat_deg - middle_lat) <= 1e-9
   OR (min_lon_deg > max_lon_deg) <> crosses
   OR NOT greatest(abs(min_lon_deg), abs(max_lon_deg), abs(centroid_lon_deg)) <= 180
   OR NOT -90 <= min_lat_deg
   OR NOT min_lat_deg < max_lat_deg
   OR NOT max_lat_deg <= 90
ORDER BY country_iso, tile_id
