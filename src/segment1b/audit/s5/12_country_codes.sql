-- code: E302_FK_COUNTRY
-- scope: C
-- proves: every country of s5_site_tile_assignment is in the ISO table
-- needs: s5_site_tile_assignment, iso3166_canonical_2024
SELECT legal_country_iso, count(*) AS found
FROM s5_site_tile_assignment
WHERE legal_country_iso NOT IN (SELECT country_iso FROM iso3166_canonical_2024)
GROUP BY legal_country_iso
ORDER BY 1
