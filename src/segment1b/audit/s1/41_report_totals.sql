-- code: E108_WRITER_HYGIENE
-- scope: R
-- proves: rows, countries, grid and predicate of the run report are those of data and policy
-- needs: tile_index, s1_run_report, population_raster_2025, parameter_policy_1B
SELECT t.*
FROM s1_run_report AS r, s1_run_report_grid_dims AS g, run, (VALUES
    ('rows_emitted', r.rows_emitted::VARCHAR, (SELECT count(*) FROM tile_index)::VARCHAR),
    ('countries_total', r.countries_total::VARCHAR,
        (SELECT count(DISTINCT country_iso) FROM tile_index)::VARCHAR),
    ('predicate', r.predicate, run.inclusion_rule),
    ('grid_dims.nrows', g.nrows::VARCHAR, run.nrows::VARCHAR),
    ('grid_dims.ncols', g.ncols::VARCHAR, run.ncols::VARCHAR)
) AS t(field, found, expected)
WHERE found IS DISTINCT FROM expected
ORDER BY field
