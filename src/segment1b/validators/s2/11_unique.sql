-- code: E102_FK_MISMATCH
-- scope: C
-- proves: no country has two weights for a tile
-- needs: tile_weights
SELECT country_iso, tile_id, count(*) AS found_rows, 1 AS expected_rows
FROM tile_weights
GROUP BY country_iso, tile_id
HAVING count(*) > 1
ORDER BY country_iso, tile_id
