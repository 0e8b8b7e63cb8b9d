-- code: E606_FK_TILE_INDEX
-- scope: T
-- proves: every tile that has a site is in the country's tile index and has bounds
SELECT DISTINCT s.legal_country_iso, s.tile_id, 'tile_index' AS found_in_no
FROM s6_site_jitter AS s
ANTI JOIN used_tile_index AS t ON t.country_iso = s.legal_country_iso AND t.tile_id = s.tile_id
UNION ALL
SELECT DISTINCT s.legal_country_iso, s.tile_id, 'tile_bounds'
FROM s6_site_jitter AS s
ANTI JOIN used_tile_bounds AS t ON t.country_iso = s.legal_country_iso AND t.tile_id = s.tile_id
ORDER BY 1, 2, 3
