-- code: E412_ZERO_ROW_EMITTED
-- scope: R
-- proves: every row has at least one site
SELECT merchant_id, legal_country_iso, tile_id, n_sites_tile AS found
FROM s4_alloc_plan
WHERE n_sites_tile < 1
ORDER BY merchant_id, legal_country_iso, tile_id
