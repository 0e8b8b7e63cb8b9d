-- code: E108_WRITER_HYGIENE
-- scope: C
-- proves: tiles, units, zero weights and sums of the layers of each country are as reported
WITH counted AS (
    SELECT
        t.*, s.urban AS urban_cells, s.urban_people AS urban_people_sum, s.metres AS road_metres
    FROM (
        SELECT
            country_iso, count(*) AS tiles, sum(weight_fp) AS postquant_sum_fp,
            count(*) FILTER (WHERE weight_fp = 0) AS zero_weight_tiles
        FROM trade_weights
        GROUP BY country_iso
    ) AS t
    LEFT JOIN layer_sums AS s USING (country_iso)
)
FROM countries_differ('s2_trade_run_report_by_country', 'counted')
