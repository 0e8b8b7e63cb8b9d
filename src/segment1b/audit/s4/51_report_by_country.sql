-- code: E415_RUN_REPORT_MISSING_FIELDS
-- scope: C
-- proves: pairs, rows and sites of each country are as reported, in quality and timings
-- needs: s4_alloc_plan, s4_run_report
SELECT
    country_iso,
    q.pairs AS reported_pairs, t.pairs AS timed_pairs, c.pairs,
    q.rows AS reported_rows, t.rows AS timed_rows, c.rows,
    q.sites AS reported_sites, c.sites,
    q.distinct_tiles AS reported_tiles, c.distinct_tiles
FROM (
    SELECT
        legal_country_iso AS country_iso, count(DISTINCT merchant_id)::HUGEINT AS pairs,
        count(*)::HUGEINT AS rows, sum(n_sites_tile)::HUGEINT AS sites,
        count(DISTINCT tile_id)::HUGEINT AS distinct_tiles
    FROM s4_alloc_plan
    GROUP BY legal_country_iso
) AS c
FULL JOIN s4_run_report_quality_by_country AS q USING (country_iso)
LEFT JOIN s4_run_report_country_timings AS t USING (country_iso)
WHERE (q.pairs, q.rows, q.sites, q.distinct_tiles)
      IS DISTINCT FROM (c.pairs, c.rows, c.sites, c.distinct_tiles)
   OR (t.pairs, t.rows) IS DISTINCT FROM (c.pairs, c.rows)
ORDER BY 1
