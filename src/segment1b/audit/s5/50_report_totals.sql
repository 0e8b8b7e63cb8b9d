-- code: E515_RUN_REPORT_MISSING_FIELDS
-- scope: R
-- proves: rows, pairs, events and ties are as reported, and so is the way sites were matched
-- needs: s5_site_tile_assignment, rng_event_site_tile_assign, s5_run_report, parameter_policy_1B
SELECT t.*
FROM s5_run_report AS r, run, (
    SELECT
        count(*)::HUGEINT AS rows,
        count(DISTINCT (merchant_id, legal_country_iso))::HUGEINT AS pairs
    FROM s5_site_tile_assignment
) AS s, (
    SELECT
        coalesce(sum(n), 0)::HUGEINT AS events,
        coalesce(sum(n) FILTER (WHERE n > 1), 0)::HUGEINT AS ties
    FROM (
        SELECT count(*) AS n
        FROM rng_event_site_tile_assign
        GROUP BY merchant_id, legal_country_iso, word
    )
) AS e, (VALUES
    ('rows_emitted', r.rows_emitted, s.rows),
    ('pairs_total', r.pairs_total, s.pairs),
    ('rng_events_emitted', r.rng_events_emitted, e.events),
    ('ties_broken_total', r.ties_broken_total, e.ties),
    ('match is own_point', (r.match = 'own_point')::HUGEINT, (law = 'stable')::HUGEINT)
) AS t(field, found, expected)
WHERE found <> expected
ORDER BY field
