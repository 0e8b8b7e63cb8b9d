-- code: E507_RNG_EVENT_MISMATCH
-- scope: D
-- proves: the rows of rng_event_site_tile_assign stand in ascending site key
-- needs: rng_event_site_tile_assign
WITH written AS (
    SELECT
        part_name, part_row, merchant_id, legal_country_iso, site_order,
        lag(row(merchant_id, legal_country_iso, site_order)) OVER () AS previous,
        lag(part_row) OVER () AS previous_row
    FROM rng_event_site_tile_assign
)
SELECT part_name, part_row, merchant_id, legal_country_iso, site_order, previous
FROM written
WHERE row(merchant_id, legal_country_iso, site_order) < previous
   -- OVER () goes by the order of reading: it must be the order of writing.
   OR (part_row <> 0 AND part_row IS DISTINCT FROM previous_row + 1)
ORDER BY part_name, part_row
