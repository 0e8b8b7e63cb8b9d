-- code: E308_COUNTS_MISMATCH
-- scope: C
-- proves: pairs and sites left out by policy are reported, country by country, and no others
WITH excluded AS (
    SELECT legal_country_iso AS country_iso, count(*) AS pairs, sum(n_sites) AS sites
    FROM counted
    WHERE excluded
    GROUP BY legal_country_iso
)
FROM countries_differ('s3_run_report_excluded_by_policy', 'excluded')
