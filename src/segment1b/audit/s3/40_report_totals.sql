-- code: E308_COUNTS_MISMATCH
-- scope: R
-- proves: rows, merchants, countries, source rows and largest n are as reported, and the sites of
--   all requirements and of what is left out add up to the source rows
-- needs: s3_requirements, outlet_catalogue, s3_run_report
SELECT t.*
FROM s3_run_report AS r, (
    SELECT
        count(*)::HUGEINT AS rows, count(DISTINCT merchant_id)::HUGEINT AS merchants,
        count(DISTINCT legal_country_iso)::HUGEINT AS countries,
        coalesce(max(n_sites), 0)::HUGEINT AS largest, coalesce(sum(n_sites), 0) AS sites
    FROM s3_requirements
) AS c, (
    SELECT
        (SELECT count(*) FROM outlet_catalogue)::HUGEINT AS outlets,
        (SELECT coalesce(sum(sites), 0) FROM s3_run_report_excluded_by_policy) AS excluded
), (VALUES
    ('rows_emitted', r.rows_emitted, c.rows),
    ('merchants_total', r.merchants_total, c.merchants),
    ('countries_total', r.countries_total, c.countries),
    ('source_rows_total', r.source_rows_total, outlets),
    ('max_n_sites', r.max_n_sites, c.largest),
    ('sites and excluded sites', c.sites + excluded, outlets)
) AS t(field, found, expected)
WHERE found <> expected
ORDER BY field
