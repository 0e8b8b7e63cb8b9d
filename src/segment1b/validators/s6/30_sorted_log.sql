-- code: E609_RNG_EVENT_COUNT
-- scope: D
-- proves: the rows of rng_event_in_cell_jitter stand in ascending site key
-- needs: rng_event_in_cell_jitter
SELECT part_name, part_row, merchant_id, legal_country_iso, site_order, previous
FROM (
    SELECT
        part_name, part_row, merchant_id, legal_country_iso, site_order,
        lag(row(merchant_id, legal_country_iso, site_order)) OVER written AS previous
    FROM rng_event_in_cell_jitter
    WINDOW written AS (ORDER BY part_name, part_row)
)
WHERE row(merchant_id, legal_country_iso, site_order) < previous
ORDER BY part_name, part_row
