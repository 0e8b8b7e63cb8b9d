-- code: E310_UNSORTED
-- scope: R
-- proves: the rows of s3_requirements stand in ascending (merchant_id, legal_country_iso)
-- needs: s3_requirements
SELECT part_name, part_row, merchant_id, legal_country_iso, previous_merchant_id, previous_country
FROM (
    SELECT
        part_name, part_row, merchant_id, legal_country_iso,
        lag(merchant_id) OVER written AS previous_merchant_id,
        lag(legal_country_iso) OVER written AS previous_country
    FROM s3_requirements
    WINDOW written AS (ORDER BY part_name, part_row)
)
WHERE merchant_id < previous_merchant_id
   OR (merchant_id = previous_merchant_id AND legal_country_iso < previous_country)
ORDER BY part_name, part_row
