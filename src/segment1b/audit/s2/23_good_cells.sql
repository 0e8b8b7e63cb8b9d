-- code: E105_NORMALIZATION
-- scope: C
-- proves: no listed cell holds a negative, infinite or undefined number of people
-- needs: parameter_policy_1B
SELECT i.country_iso, i.tile_id, i.raster_row, i.raster_col, b.value AS found
FROM tile_index AS i
JOIN bad_cells AS b ON b.tile_id = i.tile_id
CROSS JOIN run
WHERE run.basis = 'population'
ORDER BY i.country_iso, i.tile_id
