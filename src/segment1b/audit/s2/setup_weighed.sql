-- makes: masses, weighed, weighed_countries
-- needs: tile_index, cell_masses, parameter_policy_1B
-- The weights as the law gives them: integer masses first, then largest remainder to K, all in
-- HUGEINT. DuckDB casts DOUBLE to BIGINT half to even, as the law's rint does.
CREATE OR REPLACE TABLE masses AS
SELECT
    i.country_iso, i.tile_id,
    CASE run.basis
        WHEN 'uniform' THEN 1
        WHEN 'area_m2' THEN CAST(1000 * i.pixel_area_m2 AS BIGINT)
        ELSE coalesce(c.mass, 0)
    END::HUGEINT AS by_basis,
    CAST(1000 * i.pixel_area_m2 AS BIGINT)::HUGEINT AS area
FROM tile_index AS i
CROSS JOIN run
LEFT JOIN cell_masses AS c ON c.tile_id = i.tile_id;

CREATE OR REPLACE TABLE weighed AS
WITH totals AS (
    SELECT country_iso, sum(by_basis) AS basis_total, sum(area) AS area_total
    FROM masses
    GROUP BY country_iso
),
claims AS (
    SELECT
        country_iso AS claimant, tile_id, run.K AS units,
        basis_total = 0 AS fallback,
        CASE WHEN fallback THEN area ELSE by_basis END AS mass,
        CASE WHEN fallback THEN area_total ELSE basis_total END AS total
    FROM masses
    JOIN totals USING (country_iso)
    CROSS JOIN run
)
SELECT
    claimant AS country_iso, tile_id, mass, total, fallback, remainder, shortfall, share AS weight
FROM largest_remainder('claims');

CREATE OR REPLACE TABLE weighed_countries AS
SELECT
    country_iso,
    count(*)::HUGEINT AS tiles,
    any_value(total) AS mass_sum,
    any_value(shortfall) AS residue_allocations,
    bool_or(fallback) AS zero_mass_fallback
FROM weighed
GROUP BY country_iso;
