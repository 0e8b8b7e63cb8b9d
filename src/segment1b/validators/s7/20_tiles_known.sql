-- code: E709_TILE_FK_VIOLATION
-- scope: T
-- proves: every tile that has a site has bounds
-- needs: s7_site_synthesis, used_tile_bounds
SELECT s.legal_country_iso, s.tile_id, s.n AS found
FROM (
    SELECT legal_country_iso, tile_id, count(*) AS n
    FROM s7_site_synthesis
    GROUP BY legal_country_iso, tile_id
) AS s
ANTI JOIN used_tile_bounds AS t ON t.country_iso = s.legal_country_iso AND t.tile_id = s.tile_id
ORDER BY 1, 2
