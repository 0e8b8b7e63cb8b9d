-- code: E414_WEIGHT_TAMPER
-- scope: P
-- proves: no row of s4_alloc_plan gives a tile fewer than one site
SELECT part_name, part_row, merchant_id, legal_country_iso, tile_id, n_sites_tile AS found
FROM s4_alloc_plan
WHERE n_sites_tile < 1
ORDER BY part_name, part_row
