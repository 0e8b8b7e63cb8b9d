-- code: E108_WRITER_HYGIENE
-- scope: R
-- proves: the rows of tile_bounds stand in ascending (country_iso, tile_id), from file to file too
-- needs: tile_bounds
WITH written AS (
    SELECT
        part_name, part_row, country_iso, tile_id,
        lag(row(country_iso, tile_id)) OVER () AS previous,
        lag(part_row) OVER () AS previous_row
    FROM tile_bounds
)
SELECT part_name, part_row, country_iso, tile_id, previous
FROM written
WHERE row(country_iso, tile_id) < previous
   -- OVER () goes by the order of reading: it must be the order of writing.
   OR (part_row <> 0 AND part_row IS DISTINCT FROM previous_row + 1)
ORDER BY part_name, part_row
