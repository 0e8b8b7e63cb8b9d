-- code: E403_ZERO_TILE_UNIVERSE
-- scope: C
-- proves: every required country has tiles
-- needs: s3_requirements, tile_index
SELECT legal_country_iso, count(*) AS pairs, sum(n_sites) AS sites
FROM s3_requirements
WHERE legal_country_iso NOT IN (SELECT DISTINCT country_iso FROM tile_index)
GROUP BY legal_country_iso
ORDER BY legal_country_iso
