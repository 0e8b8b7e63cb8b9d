-- code: E706_WRITER_SORT_VIOLATION
-- scope: D
-- proves: the rows of s7_site_synthesis stand in ascending site key
-- needs: s7_site_synthesis
SELECT part_name, part_row, merchant_id, legal_country_iso, site_order, previous
FROM (
    SELECT
        part_name, part_row, merchant_id, legal_country_iso, site_order,
        lag(row(merchant_id, legal_country_iso, site_order)) OVER written AS previous
    FROM s7_site_synthesis
    WINDOW written AS (ORDER BY part_name, part_row)
)
WHERE row(merchant_id, legal_country_iso, site_order) < previous
ORDER BY part_name, part_row
