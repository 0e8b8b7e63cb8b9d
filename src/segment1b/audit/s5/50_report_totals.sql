-- code: E515_RUN_REPORT_MISSING_FIELDS
-- scope: R
-- proves: rows, pairs, events and ties are as reported, and so is the way sites were matched
-- needs: s5_site_tile_assignment, rng_event_site_tile_assign, s5_run_report, parameter_policy_1B
WITH counted AS (
    SELECT
        count(*)::HUGEINT AS rows_emitted,
        count(DISTINCT (merchant_id, legal_country_iso))::HUGEINT AS pairs_total
    FROM s5_site_tile_assignment
),
ties AS (
    SELECT coalesce(sum(n), 0)::HUGEINT AS n
    FROM (
        SELECT count(*) AS n
        FROM rng_event_site_tile_assign
        GROUP BY merchant_id, legal_country_iso, word
        HAVING count(*) > 1
    )
)
SELECT field, found, expected
FROM (
    SELECT 'rows_emitted' AS field, r.rows_emitted AS found, c.rows_emitted AS expected
    FROM s5_run_report AS r, counted AS c
    UNION ALL
    SELECT 'pairs_total', r.pairs_total, c.pairs_total FROM s5_run_report AS r, counted AS c
    UNION ALL
    SELECT 'rng_events_emitted', r.rng_events_emitted, e.n
    FROM s5_run_report AS r,
        (SELECT count(*)::HUGEINT AS n FROM rng_event_site_tile_assign) AS e
    UNION ALL
    SELECT 'ties_broken_total', r.ties_broken_total, ties.n FROM s5_run_report AS r, ties
    UNION ALL
    SELECT 'match is own_point', (r.match = 'own_point')::HUGEINT, (law = 'stable')::HUGEINT
    FROM s5_run_report AS r, run
)
WHERE found <> expected
ORDER BY field
