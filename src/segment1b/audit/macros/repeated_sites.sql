-- How many sites of each pair repeat the number of another. Keys that rise from row to row repeat
-- none, so a table in order is not grouped; count(DISTINCT ...) would keep every site in memory.
CREATE OR REPLACE MACRO repeated_sites(sites) AS TABLE
WITH steps AS (
    SELECT
        row(merchant_id, legal_country_iso, site_order)
            <= lag(row(merchant_id, legal_country_iso, site_order)) OVER () AS stays
    FROM query_table(sites)
)
SELECT merchant_id, legal_country_iso, sum(found - 1) AS repeats
FROM (
    SELECT merchant_id, legal_country_iso, count(*) AS found
    FROM query_table(sites)
    WHERE (SELECT coalesce(bool_or(stays), false) FROM steps) AND site_order IS NOT NULL
    GROUP BY merchant_id, legal_country_iso, site_order
)
GROUP BY merchant_id, legal_country_iso
