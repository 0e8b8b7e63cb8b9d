-- code: E415_RUN_REPORT_MISSING_FIELDS
-- scope: C
-- proves: pairs, rows and sites of each country are as reported, in quality and timings
WITH pairs AS (
    SELECT
        legal_country_iso AS country_iso, merchant_id, count(*) AS rows, sum(n_sites_tile) AS sites
    FROM s4_alloc_plan
    GROUP BY legal_country_iso, merchant_id
),
counted AS (
    SELECT
        country_iso, count(merchant_id) AS pairs, sum(rows) AS rows, sum(sites) AS sites,
        coalesce(any_value(tiles), 0) AS distinct_tiles
    FROM pairs
    LEFT JOIN tile_counts USING (country_iso)
    GROUP BY country_iso
),
timed AS (SELECT country_iso, pairs, rows FROM counted)
FROM countries_differ('s4_run_report_quality_by_country', 'counted')
UNION ALL
FROM countries_differ('s4_run_report_country_timings', 'timed')
