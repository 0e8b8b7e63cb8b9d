-- code: E308_COUNTS_MISMATCH
-- scope: C
-- proves: pairs and sites left out by policy are reported, country by country, and no others
-- needs: counted, s3_run_report
SELECT country_iso, r.pairs AS reported_pairs, c.pairs, r.sites AS reported_sites, c.sites
FROM s3_run_report_excluded_by_policy AS r
FULL JOIN (
    SELECT
        legal_country_iso AS country_iso, count(*)::HUGEINT AS pairs,
        sum(n_sites)::HUGEINT AS sites
    FROM counted
    WHERE excluded
    GROUP BY legal_country_iso
) AS c USING (country_iso)
WHERE (r.pairs, r.sites) IS DISTINCT FROM (c.pairs, c.sites)
ORDER BY 1
