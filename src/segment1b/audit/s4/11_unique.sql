-- code: E407_PK_DUPLICATE
-- scope: R
-- proves: no tile stands twice for a pair
-- needs: s4_alloc_plan
WITH steps AS (
    SELECT
        row(merchant_id, legal_country_iso, tile_id)
            <= lag(row(merchant_id, legal_country_iso, tile_id)) OVER () AS stays
    FROM s4_alloc_plan
)
SELECT merchant_id, legal_country_iso, tile_id, count(*) AS found_rows, 1 AS expected_rows
FROM s4_alloc_plan
-- Keys that rise from row to row are unique; only others must be counted.
WHERE (SELECT coalesce(bool_or(stays), false) FROM steps)
GROUP BY merchant_id, legal_country_iso, tile_id
HAVING count(*) > 1
ORDER BY merchant_id, legal_country_iso, tile_id
