-- code: E102_FK_MISMATCH
-- scope: C
-- proves: every weighed country has a code of the ISO table
-- needs: tile_weights, iso3166_canonical_2024
SELECT country_iso, count(*) AS tiles
FROM tile_weights
WHERE country_iso NOT IN (SELECT country_iso FROM iso3166_canonical_2024)
GROUP BY country_iso
ORDER BY country_iso
