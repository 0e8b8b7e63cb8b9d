-- code: E108_WRITER_HYGIENE
-- scope: R
-- proves: rows, countries, dp, K, boost and cells of the run report are those of data and policy
-- needs: mixture, parameter_policy_1B
WITH counted AS (
    SELECT w.*, run.dp, run.K AS K, m.boost, m.cells AS cells_per_tile
    FROM run, mixture AS m, (
        SELECT count(*) AS rows_emitted, count(DISTINCT country_iso) AS countries_total
        FROM trade_weights
    ) AS w
)
FROM totals_differ('s2_trade_run_report', 'counted')
