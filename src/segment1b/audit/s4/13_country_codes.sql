-- code: E302_FK_COUNTRY
-- scope: C
-- proves: every country of the plan has a code of the ISO table
-- needs: s4_alloc_plan, iso3166_canonical_2024
SELECT legal_country_iso, count(*) AS found_rows
FROM s4_alloc_plan
WHERE legal_country_iso NOT IN (SELECT country_iso FROM iso3166_canonical_2024)
GROUP BY legal_country_iso
ORDER BY legal_country_iso
