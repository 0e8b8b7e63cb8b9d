-- code: E605_SORT_VIOLATION
-- scope: D
-- proves: the rows of s6_site_jitter stand in ascending site key
-- needs: s6_site_jitter
SELECT part_name, part_row, merchant_id, legal_country_iso, site_order, previous
FROM (
    SELECT
        part_name, part_row, merchant_id, legal_country_iso, site_order,
        lag(row(merchant_id, legal_country_iso, site_order)) OVER written AS previous
    FROM s6_site_jitter
    WINDOW written AS (ORDER BY part_name, part_row)
)
WHERE row(merchant_id, legal_country_iso, site_order) < previous
ORDER BY part_name, part_row
