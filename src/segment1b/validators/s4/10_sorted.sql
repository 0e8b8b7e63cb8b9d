-- code: E408_UNSORTED
-- scope: R
-- proves: the rows of s4_alloc_plan stand in ascending (merchant_id, legal_country_iso, tile_id)
-- needs: s4_alloc_plan
SELECT
    part_name, part_row, merchant_id, legal_country_iso, tile_id,
    previous_merchant_id, previous_country, previous_tile_id
FROM (
    SELECT
        part_name, part_row, merchant_id, legal_country_iso, tile_id,
        lag(merchant_id) OVER written AS previous_merchant_id,
        lag(legal_country_iso) OVER written AS previous_country,
        lag(tile_id) OVER written AS previous_tile_id
    FROM s4_alloc_plan
    WINDOW written AS (ORDER BY part_name, part_row)
)
WHERE merchant_id < previous_merchant_id
   OR (merchant_id = previous_merchant_id AND legal_country_iso < previous_country)
   OR (
        merchant_id = previous_merchant_id
        AND legal_country_iso = previous_country
        AND tile_id < previous_tile_id
   )
ORDER BY part_name, part_row
