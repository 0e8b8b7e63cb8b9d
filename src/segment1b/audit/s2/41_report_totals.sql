-- code: E108_WRITER_HYGIENE
-- scope: R
-- proves: rows, countries, basis, dp, K and mass scale of the run report are those of data and
--   policy
-- needs: parameter_policy_1B
WITH counted AS (
    SELECT
        w.*, run.basis, run.dp, run.K AS K,
        CASE run.basis WHEN 'population' THEN 1000000 WHEN 'area_m2' THEN 1000 ELSE 1 END
            AS mass_scale
    FROM run, (
        SELECT count(*) AS rows_emitted, count(DISTINCT country_iso) AS countries_total
        FROM tile_weights
    ) AS w
)
FROM totals_differ('s2_run_report', 'counted')
