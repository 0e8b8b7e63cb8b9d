-- code: E703_DUP_KEY
-- scope: S
-- proves: each site key stands once in s7_site_synthesis
-- needs: s7_site_synthesis
SELECT merchant_id, legal_country_iso, site_order, count(*) AS found, 1 AS expected
FROM s7_site_synthesis
GROUP BY merchant_id, legal_country_iso, site_order
HAVING count(*) > 1
ORDER BY 1, 2, 3
