-- code: E504_SUM_TO_N_MISMATCH
-- scope: P
-- proves: each pair has as many sites as s4_alloc_plan gives it, numbered 1..n
-- needs: s4_alloc_plan, s5_site_tile_assignment
SELECT
    coalesce(f.merchant_id, e.merchant_id) AS merchant_id,
    coalesce(f.legal_country_iso, e.legal_country_iso) AS legal_country_iso,
    f.first_order, f.last_order, coalesce(f.n, 0) AS found, coalesce(e.n, 0) AS expected
FROM (
    SELECT
        merchant_id, legal_country_iso, count(*)::HUGEINT AS n,
        min(site_order) AS first_order, max(site_order) AS last_order,
        count(DISTINCT site_order) AS distinct_orders
    FROM s5_site_tile_assignment
    GROUP BY merchant_id, legal_country_iso
) AS f
FULL JOIN (
    SELECT merchant_id, legal_country_iso, sum(n_sites_tile)::HUGEINT AS n
    FROM s4_alloc_plan
    GROUP BY merchant_id, legal_country_iso
) AS e
    ON e.merchant_id = f.merchant_id AND e.legal_country_iso = f.legal_country_iso
WHERE f.n IS DISTINCT FROM e.n
   OR f.first_order <> 1 OR f.last_order <> f.n OR f.distinct_orders <> f.n
ORDER BY 1, 2
