-- code: E005_ISO_FK
-- scope: C
-- proves: every polygon and every listed country has a code of the ISO table
SELECT country_iso, string_agg(DISTINCT source, ', ' ORDER BY source) AS found_in
FROM (
    SELECT DISTINCT country_iso, 'tile_index' AS source FROM tile_index
    UNION ALL
    SELECT DISTINCT country_iso, 'world_countries' AS source FROM world_countries
)
WHERE country_iso IS NULL
   OR country_iso NOT IN (SELECT country_iso FROM iso3166_canonical_2024)
GROUP BY country_iso
ORDER BY country_iso
