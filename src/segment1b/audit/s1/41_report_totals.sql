-- code: E108_WRITER_HYGIENE
-- scope: R
-- proves: rows, countries, grid and predicate of the run report are those of data and policy
-- needs: tile_index, s1_run_report, population_raster_2025, parameter_policy_1B
SELECT *
FROM (
    SELECT 'rows_emitted' AS field, r.rows_emitted::VARCHAR AS found,
        (SELECT count(*) FROM tile_index)::VARCHAR AS expected
    FROM s1_run_report AS r
    UNION ALL
    SELECT 'countries_total', r.countries_total::VARCHAR,
        (SELECT count(DISTINCT country_iso) FROM tile_index)::VARCHAR
    FROM s1_run_report AS r
    UNION ALL
    SELECT 'predicate', r.predicate, run.inclusion_rule FROM s1_run_report AS r, run
    UNION ALL
    SELECT 'grid_dims.nrows', g.nrows::VARCHAR, run.nrows::VARCHAR
    FROM s1_run_report_grid_dims AS g, run
    UNION ALL
    SELECT 'grid_dims.ncols', g.ncols::VARCHAR, run.ncols::VARCHAR
    FROM s1_run_report_grid_dims AS g, run
)
WHERE found IS DISTINCT FROM expected
ORDER BY field
