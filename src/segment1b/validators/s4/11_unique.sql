-- code: E407_PK_DUPLICATE
-- scope: R
-- proves: no tile stands twice for a pair
-- needs: s4_alloc_plan
SELECT merchant_id, legal_country_iso, tile_id, count(*) AS found_rows, 1 AS expected_rows
FROM s4_alloc_plan
GROUP BY merchant_id, legal_country_iso, tile_id
HAVING count(*) > 1
ORDER BY merchant_id, legal_country_iso, tile_id
