-- code: E415_RUN_REPORT_MISSING_FIELDS
-- scope: R
-- proves: the units given after the floors, and those that the tie rule decided, are as reported
WITH counted AS (
    SELECT
        coalesce(sum(shortfall * pairs), 0) AS shortfall_total,
        coalesce(sum(ties * pairs), 0) AS ties_broken_total
    FROM solved
)
FROM totals_differ('s4_run_report', 'counted')
