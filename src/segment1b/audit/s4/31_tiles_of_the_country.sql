-- code: E413_TILE_NOT_IN_INDEX
-- scope: T
-- proves: every tile of the plan is in tile_index for the pair's country
SELECT p.merchant_id, p.legal_country_iso, p.tile_id, p.n_sites_tile
FROM s4_alloc_plan AS p
ANTI JOIN tile_index AS i
    ON i.country_iso = p.legal_country_iso AND i.tile_id = p.tile_id
ORDER BY p.merchant_id, p.legal_country_iso, p.tile_id
