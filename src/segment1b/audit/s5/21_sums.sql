-- code: E504_SUM_TO_N_MISMATCH
-- scope: P
-- proves: each pair has as many sites as s4_alloc_plan gives it, numbered 1..n
SELECT
    merchant_id, legal_country_iso, first_order, last_order,
    coalesce(f.n, 0) AS found, coalesce(e.n, 0) AS expected
FROM (
    SELECT
        merchant_id, legal_country_iso, count(*)::HUGEINT AS n,
        min(site_order) AS first_order, max(site_order) AS last_order,
        count(site_order) AS orders
    FROM s5_site_tile_assignment
    GROUP BY ALL
) AS f
FULL JOIN (
    SELECT merchant_id, legal_country_iso, sum(n_sites_tile)::HUGEINT AS n
    FROM s4_alloc_plan
    GROUP BY ALL
) AS e USING (merchant_id, legal_country_iso)
LEFT JOIN repeated_sites('s5_site_tile_assignment') AS r USING (merchant_id, legal_country_iso)
WHERE f.n IS DISTINCT FROM e.n
   OR first_order <> 1 OR last_order <> f.n OR orders - coalesce(repeats, 0) <> f.n
ORDER BY 1, 2
