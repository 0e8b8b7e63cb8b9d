-- code: E003_DUP_TILE
-- scope: C
-- proves: no country lists a tile twice in tile_bounds
-- needs: tile_bounds
WITH steps AS (
    SELECT
        row(country_iso, tile_id)
            <= lag(row(country_iso, tile_id)) OVER () AS stays
    FROM tile_bounds
)
SELECT country_iso, tile_id, count(*) AS found_rows, 1 AS expected_rows
FROM tile_bounds
-- Keys that rise from row to row are unique; only others must be counted.
WHERE (SELECT coalesce(bool_or(stays), false) FROM steps)
GROUP BY country_iso, tile_id
HAVING count(*) > 1
ORDER BY country_iso, tile_id
