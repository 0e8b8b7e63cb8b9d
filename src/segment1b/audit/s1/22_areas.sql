-- code: E006_AREA_NONPOS
-- scope: R
-- proves: areas are positive and those of the WGS84 ellipsoid, rounded to 12 digits, exactly
-- grid_rows has the closed form of each raster row, computed with 36 decimal digits.
SELECT
    i.country_iso, i.tile_id, i.raster_row, i.pixel_area_m2 AS found, r.area_m2 AS expected
FROM tile_index AS i
LEFT JOIN grid_rows AS r USING (raster_row)
WHERE i.pixel_area_m2 IS DISTINCT FROM r.area_m2
   OR i.pixel_area_m2 <= 0
ORDER BY i.country_iso, i.tile_id
