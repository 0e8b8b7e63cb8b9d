-- code: E106_MONOTONICITY
-- scope: C
-- proves: a heavier mass never weighs less; equal masses differ by one unit at most, which goes
--   to the lower tile_id
WITH paired AS NOT MATERIALIZED (
    SELECT country_iso, tile_id, mass, weight_fp
    FROM tile_weights
    JOIN weighed USING (country_iso, tile_id)
),
grouped AS (
    SELECT
        country_iso, mass, min(weight_fp) AS least, max(weight_fp) AS largest,
        arg_min(tile_id, weight_fp) AS lightest_tile
    FROM paired
    GROUP BY country_iso, mass
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
    FROM paired
    QUALIFY weight_fp > lag(weight_fp) OVER (PARTITION BY country_iso, mass ORDER BY tile_id)
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
