-- code: E505_TILE_NOT_IN_INDEX
-- scope: T
-- proves: every tile that has a site is in the tile index of the site's country
-- needs: s5_site_tile_assignment, used_tile_index
SELECT s.legal_country_iso, s.tile_id, s.n AS found
FROM (
    SELECT legal_country_iso, tile_id, count(*) AS n
    FROM s5_site_tile_assignment
    GROUP BY legal_country_iso, tile_id
) AS s
ANTI JOIN used_tile_index AS t ON t.country_iso = s.legal_country_iso AND t.tile_id = s.tile_id
ORDER BY 1, 2
