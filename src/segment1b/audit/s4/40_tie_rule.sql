-- code: E411_TIE_RULE_VIOLATION
-- scope: P
-- proves: where remainders are equal at the cut, the lower tile_id has the site
SELECT merchant_id, legal_country_iso, tile_id, n_sites, found, expected, remainder, cut
FROM plan_differences
WHERE only_ties
ORDER BY merchant_id, legal_country_iso, tile_id
