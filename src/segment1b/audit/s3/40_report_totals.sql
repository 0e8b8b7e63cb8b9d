-- code: E308_COUNTS_MISMATCH
-- scope: R
-- proves: rows, merchants, countries, source rows and largest n are as reported, and the sites of
--   all requirements and of what is left out add up to the source rows
WITH required AS (
    SELECT
        count(*) AS rows_emitted, count(DISTINCT merchant_id) AS merchants_total,
        count(DISTINCT legal_country_iso) AS countries_total,
        (SELECT count(*) FROM outlet_catalogue) AS source_rows_total,
        coalesce(max(n_sites), 0) AS max_n_sites
    FROM s3_requirements
),
left_out AS (SELECT coalesce(sum(sites), 0) AS sites FROM s3_run_report_excluded_by_policy),
added AS (SELECT coalesce(sum(n_sites), 0) + (FROM left_out) AS source_rows_total FROM s3_requirements)
FROM totals_differ('s3_run_report', 'required')
UNION ALL
FROM totals_differ('s3_run_report', 'added')
