-- code: E515_RUN_REPORT_MISSING_FIELDS
-- scope: R
-- proves: rows, pairs, events and ties are as reported, and so is the way sites were matched
-- needs: parameter_policy_1B
WITH counted AS (
    SELECT
        s.*, e.*, CASE law WHEN 'stable' THEN 'own_point' ELSE 'permuted' END AS match
    FROM run, (
        SELECT
            count(*) AS rows_emitted,
            count(DISTINCT (merchant_id, legal_country_iso)) AS pairs_total
        FROM s5_site_tile_assignment
    ) AS s, (
        SELECT
            coalesce(sum(n), 0) AS rng_events_emitted,
            coalesce(sum(n) FILTER (WHERE n > 1), 0) AS ties_broken_total
        FROM (
            SELECT count(*) AS n
            FROM rng_event_site_tile_assign
            GROUP BY merchant_id, legal_country_iso, word
        )
    ) AS e
)
FROM totals_differ('s5_run_report', 'counted')
