-- code: E108_WRITER_HYGIENE
-- scope: R
-- proves: rows, countries, grid and predicate of the run report are those of data and policy
-- needs: population_raster_2025, parameter_policy_1B
WITH counted AS (
    SELECT
        count(*) AS rows_emitted, count(DISTINCT country_iso) AS countries_total,
        (SELECT inclusion_rule FROM run) AS predicate
    FROM tile_index
),
grid AS (SELECT nrows, ncols FROM run)
FROM totals_differ('s1_run_report', 'counted')
UNION ALL
FROM totals_differ('s1_run_report_grid_dims', 'grid')
