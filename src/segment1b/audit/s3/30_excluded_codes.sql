-- code: E315_POLICY_ISO_UNKNOWN
-- scope: R
-- proves: every country that the policy leaves out has a code of the ISO table
-- needs: parameter_policy_1B
SELECT country_iso AS found
FROM excluded_countries
WHERE country_iso NOT IN (SELECT country_iso FROM iso3166_canonical_2024)
ORDER BY country_iso
