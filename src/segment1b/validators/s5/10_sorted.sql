-- code: E509_UNSORTED
-- scope: D
-- proves: the rows of s5_site_tile_assignment stand in ascending site key
-- needs: s5_site_tile_assignment
SELECT part_name, part_row, merchant_id, legal_country_iso, site_order, previous
FROM (
    SELECT
        part_name, part_row, merchant_id, legal_country_iso, site_order,
        lag(row(merchant_id, legal_country_iso, site_order)) OVER written AS previous
    FROM s5_site_tile_assignment
    WINDOW written AS (ORDER BY part_name, part_row)
)
WHERE row(merchant_id, legal_country_iso, site_order) < previous
ORDER BY part_name, part_row
