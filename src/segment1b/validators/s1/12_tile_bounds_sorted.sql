-- code: E108_WRITER_HYGIENE
-- scope: R
-- proves: the rows of tile_bounds stand in ascending (country_iso, tile_id), from file to file too
-- needs: tile_bounds
SELECT part_name, part_row, country_iso, tile_id, previous_country_iso, previous_tile_id
FROM (
    SELECT
        part_name, part_row, country_iso, tile_id,
        lag(country_iso) OVER written AS previous_country_iso,
        lag(tile_id) OVER written AS previous_tile_id
    FROM tile_bounds
    WINDOW written AS (ORDER BY part_name, part_row)
)
WHERE country_iso < previous_country_iso
   OR (country_iso = previous_country_iso AND tile_id < previous_tile_id)
ORDER BY part_name, part_row
