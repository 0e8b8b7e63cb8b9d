-- code: E515_RUN_REPORT_MISSING_FIELDS
-- scope: R
-- proves: rows of S7 and S8 are as reported
-- needs: s7_site_synthesis, site_locations, s8_run_report
SELECT t.*
FROM s8_run_report AS r, (
    SELECT
        (SELECT count(*) FROM s7_site_synthesis)::HUGEINT AS s7,
        (SELECT count(*) FROM site_locations)::HUGEINT AS s8
), (VALUES
    ('rows_s7', r.rows_s7, s7),
    ('rows_s8', r.rows_s8, s8),
    ('rows_emitted', r.rows_emitted, s8)
) AS t(field, found, expected)
WHERE found <> expected
ORDER BY field
