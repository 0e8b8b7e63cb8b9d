-- code: E610_RNG_BUDGET_OR_COUNTERS
-- scope: S
-- proves: no site came to a centre in its first 8 attempts where an earlier one of its merchant is
SELECT
    merchant_id, legal_country_iso, site_order, tile_id, centre, blocks,
    min(site_order) OVER (
        PARTITION BY merchant_id, legal_country_iso, tile_id, centre
    ) AS found
FROM at_centres
QUALIFY blocks <= 8 AND found < site_order
ORDER BY 1, 2, 3
