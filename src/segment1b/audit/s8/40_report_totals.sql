-- code: E515_RUN_REPORT_MISSING_FIELDS
-- scope: R
-- proves: rows of S7 and S8 are as reported
WITH counted AS (
    SELECT
        (SELECT count(*) FROM s7_site_synthesis) AS rows_s7,
        count(*) AS rows_s8, count(*) AS rows_emitted
    FROM site_locations
)
FROM totals_differ('s8_run_report', 'counted')
