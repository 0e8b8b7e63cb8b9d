-- code: E308_COUNTS_MISMATCH
-- scope: R
-- proves: rows, merchants, countries, source rows and largest n are as reported, and the sites of
--   all requirements and of what is left out add up to the source rows
-- needs: s3_requirements, outlet_catalogue, s3_run_report
WITH found AS (
    UNPIVOT (
        SELECT rows_emitted, merchants_total, countries_total, source_rows_total, max_n_sites
        FROM s3_run_report
    ) ON COLUMNS(*) INTO NAME field VALUE found
),
expected AS (
    UNPIVOT (
        SELECT
            count(*)::HUGEINT AS rows_emitted,
            count(DISTINCT merchant_id)::HUGEINT AS merchants_total,
            count(DISTINCT legal_country_iso)::HUGEINT AS countries_total,
            (SELECT count(*) FROM outlet_catalogue)::HUGEINT AS source_rows_total,
            coalesce(max(n_sites), 0)::HUGEINT AS max_n_sites
        FROM s3_requirements
    ) ON COLUMNS(*) INTO NAME field VALUE expected
)
SELECT field, found, expected
FROM found
JOIN expected USING (field)
WHERE found <> expected
UNION ALL
SELECT 'sites and excluded sites', sites, outlets
FROM (
    SELECT
        (SELECT coalesce(sum(n_sites), 0) FROM s3_requirements)
        + (SELECT coalesce(sum(sites), 0) FROM s3_run_report_excluded_by_policy) AS sites,
        (SELECT count(*) FROM outlet_catalogue) AS outlets
)
WHERE sites <> outlets
ORDER BY field
