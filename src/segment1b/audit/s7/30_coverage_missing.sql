-- code: E708_1A_COVERAGE_FAIL
-- scope: S
-- proves: every outlet of the catalogue has a site, but for countries that the policy excludes
-- needs: parameter_policy_1B
-- settled: outlet_catalogue and s7_site_synthesis
SELECT merchant_id, legal_country_iso, site_order, 'no site' AS found
FROM outlet_catalogue
ANTI JOIN s7_site_synthesis USING (merchant_id, legal_country_iso, site_order)
WHERE legal_country_iso NOT IN (SELECT country_iso FROM excluded_countries)
ORDER BY 1, 2, 3
