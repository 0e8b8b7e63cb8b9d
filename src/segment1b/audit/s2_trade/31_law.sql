-- code: E105_NORMALIZATION
-- scope: C
-- proves: every weight is the largest-remainder share of the tile's mixed mass, to the unit
SELECT
    country_iso, tile_id, w.weight_fp AS found, e.weight AS expected, e.mass, e.remainder
FROM trade_weights AS w
JOIN mixed AS e USING (country_iso, tile_id)
WHERE w.weight_fp <> e.weight
ORDER BY country_iso, tile_id
