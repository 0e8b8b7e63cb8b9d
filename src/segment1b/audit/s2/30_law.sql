-- code: E105_NORMALIZATION
-- scope: C
-- proves: every weight is the largest-remainder share of the cell's mass, to the unit
-- needs: tile_weights, weighed
SELECT
    w.country_iso, w.tile_id, w.weight_fp AS found, e.weight AS expected,
    e.mass, e.total, e.remainder, e.shortfall
FROM tile_weights AS w
JOIN weighed AS e ON e.country_iso = w.country_iso AND e.tile_id = w.tile_id
WHERE w.weight_fp <> e.weight
ORDER BY w.country_iso, w.tile_id
