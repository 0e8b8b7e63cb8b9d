-- code: E708_1A_COVERAGE_FAIL
-- scope: C
-- proves: what is left out is what S3 has left out, and nothing the policy does not name
-- needs: parameter_policy_1B
FROM countries_differ('s7_run_report_excluded_by_policy', 's3_run_report_excluded_by_policy')
UNION ALL
SELECT country_iso, 'excluded', 'true', 'false'
FROM s7_run_report_excluded_by_policy
WHERE country_iso NOT IN (FROM excluded_countries)
