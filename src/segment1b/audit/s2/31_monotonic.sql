-- code: E106_MONOTONICITY
-- scope: C
-- proves: a heavier mass never weighs less; equal masses differ by one unit at most, which goes
--   to the lower tile_id
-- needs: tile_weights, weighed
WITH grouped AS (
    SELECT
        w.country_iso, e.mass,
        min(w.weight_fp) AS least, max(w.weight_fp) AS largest,
        arg_min(w.tile_id, w.weight_fp) AS lightest_tile
    FROM tile_weights AS w
    JOIN weighed AS e ON e.country_iso = w.country_iso AND e.tile_id = w.tile_id
    GROUP BY w.country_iso, e.mass
),
ordered AS (
    SELECT
        *,
        lag(largest) OVER (PARTITION BY country_iso ORDER BY mass) AS largest_below,
        lag(mass) OVER (PARTITION BY country_iso ORDER BY mass) AS mass_below
    FROM grouped
),
misplaced AS (
    -- Among equal masses no tile may weigh more than one with a lower id.
    SELECT country_iso, mass, tile_id
    FROM (
        SELECT
            w.country_iso, e.mass, w.tile_id, w.weight_fp,
            lag(w.weight_fp) OVER (
                PARTITION BY w.country_iso, e.mass ORDER BY w.tile_id
            ) AS before
        FROM tile_weights AS w
        JOIN weighed AS e ON e.country_iso = w.country_iso AND e.tile_id = w.tile_id
    )
    WHERE weight_fp > before
)
SELECT
    country_iso, lightest_tile AS tile_id, mass, least, largest, mass_below, largest_below,
    'a heavier mass weighs less, or equal masses differ by more than one' AS reason
FROM ordered
WHERE least < largest_below OR largest - least > 1
UNION ALL
SELECT
    country_iso, tile_id, mass, NULL, NULL, NULL, NULL,
    'an equal mass with a lower tile_id weighs less'
FROM misplaced
ORDER BY country_iso, tile_id
