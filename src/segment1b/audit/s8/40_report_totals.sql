-- code: E515_RUN_REPORT_MISSING_FIELDS
-- scope: R
-- proves: rows of S7 and S8 are as reported
-- needs: s7_site_synthesis, site_locations, s8_run_report
WITH counted AS (
    SELECT
        (SELECT count(*) FROM s7_site_synthesis)::HUGEINT AS s7,
        (SELECT count(*) FROM site_locations)::HUGEINT AS s8
)
SELECT field, found, expected
FROM (
    SELECT 'rows_s7' AS field, rows_s7 AS found, s7 AS expected FROM s8_run_report, counted
    UNION ALL
    SELECT 'rows_s8', rows_s8, s8 FROM s8_run_report, counted
    UNION ALL
    SELECT 'rows_emitted', rows_emitted, s8 FROM s8_run_report, counted
)
WHERE found <> expected
ORDER BY field
