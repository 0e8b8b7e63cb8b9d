-- The tiles of one table that another lacks, and which of the two lacks them.
CREATE OR REPLACE MACRO tiles_differ(one, other) AS TABLE
SELECT
    country_iso, tile_id,
    CASE WHEN a.tile_id IS NULL THEN one ELSE other END AS missing_in
FROM query_table(one) AS a
FULL JOIN query_table(other) AS b USING (country_iso, tile_id)
WHERE a.tile_id IS NULL OR b.tile_id IS NULL
ORDER BY country_iso, tile_id
