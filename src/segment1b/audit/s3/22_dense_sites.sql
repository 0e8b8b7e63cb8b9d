-- code: E314_SITE_ORDER_INTEGRITY
-- scope: P
-- proves: the site_order of each pair runs 1..n without gap or repetition
SELECT
    merchant_id, legal_country_iso, first_order, last_order, distinct_orders,
    n_sites AS expected_last
FROM counted
WHERE first_order IS DISTINCT FROM 1
   OR last_order IS DISTINCT FROM n_sites
   OR distinct_orders <> n_sites
ORDER BY merchant_id, legal_country_iso
