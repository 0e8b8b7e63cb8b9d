-- code: E603_DUP_KEY
-- scope: S
-- proves: each site key stands once in s6_site_jitter
-- needs: s6_site_jitter
SELECT merchant_id, legal_country_iso, site_order, count(*) AS found, 1 AS expected
FROM s6_site_jitter
GROUP BY merchant_id, legal_country_iso, site_order
HAVING count(*) > 1
ORDER BY 1, 2, 3
