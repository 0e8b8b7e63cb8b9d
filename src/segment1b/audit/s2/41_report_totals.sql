-- code: E108_WRITER_HYGIENE
-- scope: R
-- proves: rows, countries, basis, dp, K and mass scale of the run report are those of data and
--   policy
-- needs: tile_weights, s2_run_report, parameter_policy_1B
SELECT *
FROM (
    SELECT 'rows_emitted' AS field, r.rows_emitted::VARCHAR AS found,
        (SELECT count(*) FROM tile_weights)::VARCHAR AS expected
    FROM s2_run_report AS r
    UNION ALL
    SELECT 'countries_total', r.countries_total::VARCHAR,
        (SELECT count(DISTINCT country_iso) FROM tile_weights)::VARCHAR
    FROM s2_run_report AS r
    UNION ALL
    SELECT 'basis', r.basis, run.basis FROM s2_run_report AS r, run
    UNION ALL
    SELECT 'dp', r.dp::VARCHAR, run.dp::VARCHAR FROM s2_run_report AS r, run
    UNION ALL
    SELECT 'K', r.K::VARCHAR, run.K::VARCHAR FROM s2_run_report AS r, run
    UNION ALL
    SELECT 'mass_scale', r.mass_scale::VARCHAR,
        CASE run.basis WHEN 'population' THEN '1000000' WHEN 'area_m2' THEN '1000' ELSE '1' END
    FROM s2_run_report AS r, run
)
WHERE found IS DISTINCT FROM expected
ORDER BY field
