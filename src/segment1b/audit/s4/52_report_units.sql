-- code: E415_RUN_REPORT_MISSING_FIELDS
-- scope: R
-- proves: the units given after the floors, and those that the tie rule decided, are as reported
-- needs: s4_run_report, solved
SELECT t.*
FROM s4_run_report AS r, (
    SELECT
        coalesce(sum(shortfall * pairs), 0)::HUGEINT AS shortfall,
        coalesce(sum(ties * pairs), 0)::HUGEINT AS ties
    FROM solved
) AS s, (VALUES
    ('shortfall_total', r.shortfall_total, s.shortfall),
    ('ties_broken_total', r.ties_broken_total, s.ties)
) AS t(field, found, expected)
WHERE found <> expected
ORDER BY field
