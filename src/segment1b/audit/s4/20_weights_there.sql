-- code: E402_MISSING_TILE_WEIGHTS
-- scope: C
-- proves: every required country has tile weights
-- needs: s3_requirements, tile_weights
SELECT legal_country_iso, count(*) AS pairs, sum(n_sites) AS sites
FROM s3_requirements
WHERE legal_country_iso NOT IN (SELECT DISTINCT country_iso FROM tile_weights)
GROUP BY legal_country_iso
ORDER BY legal_country_iso
