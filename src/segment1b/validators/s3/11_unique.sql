-- code: E307_PK_DUPLICATE
-- scope: R
-- proves: no pair stands twice in s3_requirements
-- needs: s3_requirements
SELECT merchant_id, legal_country_iso, count(*) AS found_rows, 1 AS expected_rows
FROM s3_requirements
GROUP BY merchant_id, legal_country_iso
HAVING count(*) > 1
ORDER BY merchant_id, legal_country_iso
