-- code: E314_SITE_ORDER_INTEGRITY
-- scope: P
-- proves: the site_order of each pair runs 1..n without gap or repetition
-- needs: outlet_catalogue
WITH numbered AS (
    SELECT c.*, c.orders - coalesce(r.repeats, 0) AS distinct_orders
    FROM counted AS c
    LEFT JOIN repeated_sites('outlet_catalogue') AS r
        ON r.merchant_id IS NOT DISTINCT FROM c.merchant_id
        AND r.legal_country_iso IS NOT DISTINCT FROM c.legal_country_iso
)
SELECT
    merchant_id, legal_country_iso, first_order, last_order, distinct_orders,
    n_sites AS expected_last
FROM numbered
WHERE first_order IS DISTINCT FROM 1
   OR last_order IS DISTINCT FROM n_sites
   OR distinct_orders <> n_sites
ORDER BY merchant_id, legal_country_iso
