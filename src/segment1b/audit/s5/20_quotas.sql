-- code: E503_TILE_QUOTA_MISMATCH
-- scope: T
-- proves: each tile has as many sites of each pair as s4_alloc_plan gives it
SELECT
    merchant_id, legal_country_iso, tile_id,
    coalesce(f.n, 0) AS found, coalesce(e.n, 0) AS expected
FROM (
    SELECT merchant_id, legal_country_iso, tile_id, count(*)::HUGEINT AS n
    FROM s5_site_tile_assignment
    GROUP BY ALL
) AS f
FULL JOIN (
    SELECT merchant_id, legal_country_iso, tile_id, sum(n_sites_tile)::HUGEINT AS n
    FROM s4_alloc_plan
    GROUP BY ALL
) AS e USING (merchant_id, legal_country_iso, tile_id)
WHERE f.n IS DISTINCT FROM e.n
ORDER BY 1, 2, 3
