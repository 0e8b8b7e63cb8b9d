-- code: E003_DUP_TILE
-- scope: C
-- proves: no country lists a tile twice in tile_index
-- needs: tile_index
SELECT country_iso, tile_id, count(*) AS found_rows, 1 AS expected_rows
FROM tile_index
GROUP BY country_iso, tile_id
HAVING count(*) > 1
ORDER BY country_iso, tile_id
