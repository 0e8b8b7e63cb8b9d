-- code: E708_1A_COVERAGE_FAIL
-- scope: S
-- proves: every site is an outlet of the catalogue, in a country that the policy does not exclude
-- needs: outlet_catalogue, s7_site_synthesis, parameter_policy_1B
SELECT
    y.merchant_id, y.legal_country_iso, y.site_order,
    y.legal_country_iso IN (SELECT country_iso FROM excluded_countries) AS excluded,
    'a site' AS found
FROM s7_site_synthesis AS y
LEFT JOIN outlet_catalogue AS o
    ON o.merchant_id = y.merchant_id
    AND o.legal_country_iso = y.legal_country_iso
    AND o.site_order = y.site_order
WHERE o.merchant_id IS NULL
   OR y.legal_country_iso IN (SELECT country_iso FROM excluded_countries)
ORDER BY 1, 2, 3
