-- code: E606_FK_TILE_INDEX
-- scope: T
-- proves: every tile that has a site is in the country's tile index and has bounds
-- needs: s6_site_jitter, used_tile_index, used_tile_bounds
WITH used AS (SELECT DISTINCT legal_country_iso, tile_id FROM s6_site_jitter)
SELECT u.legal_country_iso, u.tile_id, 'tile_index' AS found_in_no
FROM used AS u
ANTI JOIN used_tile_index AS t ON t.country_iso = u.legal_country_iso AND t.tile_id = u.tile_id
UNION ALL
SELECT u.legal_country_iso, u.tile_id, 'tile_bounds'
FROM used AS u
ANTI JOIN used_tile_bounds AS t ON t.country_iso = u.legal_country_iso AND t.tile_id = u.tile_id
ORDER BY 1, 2, 3
