-- code: E304_ZERO_SITES_ROW
-- scope: P
-- proves: every pair has at least one site
SELECT merchant_id, legal_country_iso, n_sites AS found
FROM s3_requirements
WHERE n_sites < 1
ORDER BY merchant_id, legal_country_iso
