-- code: E408_UNSORTED
-- scope: R
-- proves: the rows of s4_alloc_plan stand in ascending (merchant_id, legal_country_iso, tile_id)
-- needs: s4_alloc_plan
WITH written AS (
    SELECT
        part_name, part_row, merchant_id, legal_country_iso, tile_id,
        lag(row(merchant_id, legal_country_iso, tile_id)) OVER () AS previous,
        lag(part_row) OVER () AS previous_row
    FROM s4_alloc_plan
)
SELECT part_name, part_row, merchant_id, legal_country_iso, tile_id, previous
FROM written
WHERE row(merchant_id, legal_country_iso, tile_id) < previous
   -- OVER () goes by the order of reading: it must be the order of writing.
   OR (part_row <> 0 AND part_row IS DISTINCT FROM previous_row + 1)
ORDER BY part_name, part_row
