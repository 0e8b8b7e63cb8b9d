-- code: E003_DUP_TILE
-- scope: C
-- proves: no country lists a tile twice in tile_bounds
-- needs: tile_bounds
SELECT country_iso, tile_id, count(*) AS found_rows, 1 AS expected_rows
FROM tile_bounds
GROUP BY country_iso, tile_id
HAVING count(*) > 1
ORDER BY country_iso, tile_id
