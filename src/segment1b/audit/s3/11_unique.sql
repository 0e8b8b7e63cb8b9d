-- code: E307_PK_DUPLICATE
-- scope: R
-- proves: no pair stands twice in s3_requirements
-- needs: s3_requirements
WITH steps AS (
    SELECT
        row(merchant_id, legal_country_iso)
            <= lag(row(merchant_id, legal_country_iso)) OVER () AS stays
    FROM s3_requirements
)
SELECT merchant_id, legal_country_iso, count(*) AS found_rows, 1 AS expected_rows
FROM s3_requirements
-- Keys that rise from row to row are unique; only others must be counted.
WHERE (SELECT coalesce(bool_or(stays), false) FROM steps)
GROUP BY merchant_id, legal_country_iso
HAVING count(*) > 1
ORDER BY merchant_id, legal_country_iso
