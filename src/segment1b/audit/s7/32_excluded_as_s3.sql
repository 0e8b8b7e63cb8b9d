-- code: E708_1A_COVERAGE_FAIL
-- scope: C
-- proves: what is left out is what S3 has left out, and nothing the policy does not name
-- needs: s7_run_report, s3_run_report, parameter_policy_1B
SELECT
    country_iso,
    y.pairs AS found_pairs, r.pairs AS expected_pairs, y.sites AS found, r.sites AS expected
FROM s7_run_report_excluded_by_policy AS y
FULL JOIN s3_run_report_excluded_by_policy AS r USING (country_iso)
WHERE (y.pairs, y.sites) IS DISTINCT FROM (r.pairs, r.sites)
   OR country_iso NOT IN (FROM excluded_countries)
ORDER BY 1
