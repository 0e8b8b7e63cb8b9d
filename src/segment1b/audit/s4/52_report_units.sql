-- code: E415_RUN_REPORT_MISSING_FIELDS
-- scope: R
-- proves: the units given after the floors, and those that the tie rule decided, are as reported
-- needs: s4_run_report, solved
SELECT *
FROM (
    SELECT 'shortfall_total' AS field, r.shortfall_total AS found, s.shortfall AS expected
    FROM s4_run_report AS r,
        (SELECT coalesce(sum(shortfall * pairs), 0)::HUGEINT AS shortfall FROM solved) AS s
    UNION ALL
    SELECT 'ties_broken_total', r.ties_broken_total, s.ties
    FROM s4_run_report AS r,
        (SELECT coalesce(sum(ties * pairs), 0)::HUGEINT AS ties FROM solved) AS s
)
WHERE found <> expected
ORDER BY field
