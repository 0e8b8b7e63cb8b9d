-- code: E108_WRITER_HYGIENE
-- scope: C
-- proves: tiles, masses, units, remainders given and zero weights of each country are as reported
WITH counted AS (
    SELECT t.*, c.mass_sum, c.residue_allocations
    FROM (
        SELECT
            country_iso, count(*) AS tiles, sum(weight_fp) AS postquant_sum_fp,
            count(*) FILTER (WHERE weight_fp = 0) AS zero_weight_tiles
        FROM tile_weights
        GROUP BY country_iso
    ) AS t
    LEFT JOIN weighed_countries AS c USING (country_iso)
)
FROM countries_differ('s2_run_report_by_country', 'counted')
