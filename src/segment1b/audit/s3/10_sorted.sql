-- code: E310_UNSORTED
-- scope: R
-- proves: the rows of s3_requirements stand in ascending (merchant_id, legal_country_iso)
-- needs: s3_requirements
WITH written AS (
    SELECT
        part_name, part_row, merchant_id, legal_country_iso,
        lag(row(merchant_id, legal_country_iso)) OVER () AS previous,
        lag(part_row) OVER () AS previous_row
    FROM s3_requirements
)
SELECT part_name, part_row, merchant_id, legal_country_iso, previous
FROM written
WHERE row(merchant_id, legal_country_iso) < previous
   -- OVER () goes by the order of reading: it must be the order of writing.
   OR (part_row <> 0 AND part_row IS DISTINCT FROM previous_row + 1)
ORDER BY part_name, part_row
