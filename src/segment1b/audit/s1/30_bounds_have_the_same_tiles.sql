-- code: E108_WRITER_HYGIENE
-- scope: T
-- proves: tile_bounds has the tiles of tile_index and no other
SELECT
    country_iso, tile_id, i.tile_id IS NOT NULL AS in_tile_index,
    b.tile_id IS NOT NULL AS in_tile_bounds
FROM tile_index AS i
FULL JOIN tile_bounds AS b USING (country_iso, tile_id)
WHERE i.tile_id IS NULL OR b.tile_id IS NULL
ORDER BY 1, 2
