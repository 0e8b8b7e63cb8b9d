-- code: E503_TILE_QUOTA_MISMATCH
-- scope: S
-- proves: where each site takes its own point, it is in the tile in which that point lies
SELECT
    merchant_id, legal_country_iso, site_order, s.tile_id AS found, p.tile_id AS expected
FROM s5_site_tile_assignment AS s
LEFT JOIN own_points AS p USING (merchant_id, legal_country_iso, site_order)
WHERE (SELECT law FROM run) = 'stable' AND p.tile_id IS DISTINCT FROM s.tile_id
ORDER BY 1, 2, 3
