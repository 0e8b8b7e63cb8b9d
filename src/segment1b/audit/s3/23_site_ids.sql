-- code: E314_SITE_ORDER_INTEGRITY
-- scope: P
-- proves: every site_id is its site_order in six digits
SELECT merchant_id, legal_country_iso, bad_site_ids AS found, 0 AS expected
FROM counted
WHERE bad_site_ids > 0
ORDER BY merchant_id, legal_country_iso
