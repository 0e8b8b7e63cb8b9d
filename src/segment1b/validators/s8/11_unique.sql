-- code: E803_DUP_KEY
-- scope: S
-- proves: each site key stands once in site_locations
-- needs: site_locations
SELECT merchant_id, legal_country_iso, site_order, count(*) AS found, 1 AS expected
FROM site_locations
GROUP BY merchant_id, legal_country_iso, site_order
HAVING count(*) > 1
ORDER BY 1, 2, 3
