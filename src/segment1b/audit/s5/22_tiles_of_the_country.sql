-- code: E505_TILE_NOT_IN_INDEX
-- scope: T
-- proves: every tile that has a site is in the tile index of the site's country
SELECT s.legal_country_iso, s.tile_id, count(*) AS found
FROM s5_site_tile_assignment AS s
ANTI JOIN used_tile_index AS t ON t.country_iso = s.legal_country_iso AND t.tile_id = s.tile_id
GROUP BY ALL
ORDER BY 1, 2
