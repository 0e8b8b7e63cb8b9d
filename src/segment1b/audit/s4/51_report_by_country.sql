-- code: E415_RUN_REPORT_MISSING_FIELDS
-- scope: C
-- proves: pairs, rows and sites of each country are as reported, in quality and timings
WITH counted AS (
    SELECT
        legal_country_iso AS country_iso, count(DISTINCT merchant_id) AS pairs,
        count(*) AS rows, sum(n_sites_tile) AS sites, count(DISTINCT tile_id) AS distinct_tiles
    FROM s4_alloc_plan
    GROUP BY legal_country_iso
),
timed AS (SELECT country_iso, pairs, rows FROM counted)
FROM countries_differ('s4_run_report_quality_by_country', 'counted')
UNION ALL
FROM countries_differ('s4_run_report_country_timings', 'timed')
