-- code: E603_DUP_KEY
-- scope: S
-- proves: each site key stands once in s6_site_jitter
-- needs: s6_site_jitter
WITH steps AS (
    SELECT
        row(merchant_id, legal_country_iso, site_order)
            <= lag(row(merchant_id, legal_country_iso, site_order)) OVER () AS stays
    FROM s6_site_jitter
)
SELECT merchant_id, legal_country_iso, site_order, count(*) AS found, 1 AS expected
FROM s6_site_jitter
-- Keys that rise from row to row are unique; only others must be counted.
WHERE (SELECT coalesce(bool_or(stays), false) FROM steps)
GROUP BY merchant_id, legal_country_iso, site_order
HAVING count(*) > 1
ORDER BY merchant_id, legal_country_iso, site_order
