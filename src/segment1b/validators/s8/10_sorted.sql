-- code: E806_WRITER_SORT_VIOLATION
-- scope: D
-- proves: the rows of site_locations stand in ascending site key
-- needs: site_locations
SELECT part_name, part_row, merchant_id, legal_country_iso, site_order, previous
FROM (
    SELECT
        part_name, part_row, merchant_id, legal_country_iso, site_order,
        lag(row(merchant_id, legal_country_iso, site_order)) OVER written AS previous
    FROM site_locations
    WINDOW written AS (ORDER BY part_name, part_row)
)
WHERE row(merchant_id, legal_country_iso, site_order) < previous
ORDER BY part_name, part_row
