-- code: E108_WRITER_HYGIENE
-- scope: R
-- proves: rows, countries, basis, dp, K and mass scale of the run report are those of data and
--   policy
-- needs: tile_weights, s2_run_report, parameter_policy_1B
SELECT t.*
FROM s2_run_report AS r, run, (VALUES
    ('rows_emitted', r.rows_emitted::VARCHAR, (SELECT count(*) FROM tile_weights)::VARCHAR),
    ('countries_total', r.countries_total::VARCHAR,
        (SELECT count(DISTINCT country_iso) FROM tile_weights)::VARCHAR),
    ('basis', r.basis, run.basis),
    ('dp', r.dp::VARCHAR, run.dp::VARCHAR),
    ('K', r.K::VARCHAR, run.K::VARCHAR),
    ('mass_scale', r.mass_scale::VARCHAR,
        CASE run.basis WHEN 'population' THEN '1000000' WHEN 'area_m2' THEN '1000' ELSE '1' END)
) AS t(field, found, expected)
WHERE found IS DISTINCT FROM expected
ORDER BY field
