-- code: E002_RASTER_MISMATCH
-- scope: R
-- proves: tile_id is raster_row * ncols + raster_col of a cell inside the raster
-- needs: population_raster_2025
SELECT
    i.country_iso, i.tile_id AS found, i.raster_row, i.raster_col,
    i.raster_row::HUGEINT * run.ncols + i.raster_col AS expected, run.nrows, run.ncols
FROM tile_index AS i, run
WHERE i.tile_id <> i.raster_row::HUGEINT * run.ncols + i.raster_col
   OR i.raster_row >= run.nrows
   OR i.raster_col >= run.ncols
ORDER BY i.country_iso, i.tile_id
