-- code: E105_NORMALIZATION
-- scope: C
-- proves: every country's mass is below 2^62, within which the law is exact
SELECT country_iso, mass_sum AS found, 4611686018427387904::HUGEINT AS expected_below
FROM weighed_countries
WHERE mass_sum >= 4611686018427387904::HUGEINT
ORDER BY country_iso
