-- code: E006_AREA_NONPOS
-- scope: R
-- proves: areas are positive and, row by row, those of the WGS84 ellipsoid to 12 digits
-- needs: tile_index, row_areas
-- row_areas has the closed form of each raster row, computed with 45 decimal digits.
SELECT
    i.country_iso, i.tile_id, i.raster_row, i.pixel_area_m2 AS found, a.area_m2 AS expected
FROM tile_index AS i
LEFT JOIN row_areas AS a USING (raster_row)
WHERE NOT coalesce(
    i.pixel_area_m2 > 0 AND abs(i.pixel_area_m2 - a.area_m2) <= 1e-11 * a.area_m2, false
)
ORDER BY i.country_iso, i.tile_id
