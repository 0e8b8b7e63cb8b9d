-- code: E417_LAW_VIOLATION
-- scope: P
-- proves: every pair's plan is the one that the declared law gives
SELECT merchant_id, legal_country_iso, tile_id, n_sites, found, expected
FROM plan_differences
WHERE NOT only_ties
ORDER BY merchant_id, legal_country_iso, tile_id
