-- Largest remainder: in each group, its units are shared in proportion to mass of total; of what
-- the floors leave, one unit each goes to the largest remainders, equal ones by ascending tile_id.
CREATE OR REPLACE MACRO largest_remainder(claims) AS TABLE
WITH divided AS (
    SELECT
        *,
        units::HUGEINT * mass // total AS floor,
        units::HUGEINT * mass % total AS remainder
    FROM query_table(claims)
),
ranked AS (
    SELECT
        *,
        units - sum(floor) OVER (PARTITION BY claimant) AS shortfall,
        row_number() OVER (PARTITION BY claimant ORDER BY remainder DESC, tile_id) AS place
    FROM divided
)
SELECT *, floor + CASE WHEN place <= shortfall THEN 1 ELSE 0 END AS share
FROM ranked
