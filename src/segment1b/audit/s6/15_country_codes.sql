-- code: E606_FK_TILE_INDEX
-- scope: C
-- proves: every country of s6_site_jitter has a polygon
-- needs: s6_site_jitter, world_countries
SELECT legal_country_iso, count(*) AS found
FROM s6_site_jitter
WHERE legal_country_iso NOT IN (SELECT country_iso FROM world_countries)
GROUP BY legal_country_iso
ORDER BY 1
