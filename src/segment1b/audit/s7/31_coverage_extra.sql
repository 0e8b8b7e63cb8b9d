-- code: E708_1A_COVERAGE_FAIL
-- scope: S
-- proves: every site is an outlet of the catalogue, in a country that the policy does not exclude
-- needs: parameter_policy_1B
SELECT
    merchant_id, legal_country_iso, site_order,
    legal_country_iso IN (FROM excluded_countries) AS excluded,
    'a site' AS found
FROM (
    SELECT merchant_id, legal_country_iso, site_order FROM uncatalogued_sites
    UNION
    SELECT merchant_id, legal_country_iso, site_order
    FROM s7_site_synthesis
    WHERE legal_country_iso IN (FROM excluded_countries)
)
ORDER BY 1, 2, 3
