-- code: E708_1A_COVERAGE_FAIL
-- scope: S
-- proves: every outlet of the catalogue has a site, but for countries that the policy excludes
-- needs: outlet_catalogue, s7_site_synthesis, s3_run_report, parameter_policy_1B
SELECT o.merchant_id, o.legal_country_iso, o.site_order, 'no site' AS found
FROM outlet_catalogue AS o
ANTI JOIN s7_site_synthesis AS y
    ON y.merchant_id = o.merchant_id
    AND y.legal_country_iso = o.legal_country_iso
    AND y.site_order = o.site_order
WHERE o.legal_country_iso NOT IN (SELECT country_iso FROM excluded_countries)
ORDER BY 1, 2, 3
