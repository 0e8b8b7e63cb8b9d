-- code: E108_WRITER_HYGIENE
-- scope: C
-- proves: tiles, masses, units, remainders given and zero weights of each country are as reported
-- needs: tile_weights, weighed_countries, s2_run_report
SELECT
    country_iso,
    r.tiles AS reported_tiles, t.tiles,
    r.mass_sum AS reported_mass_sum, c.mass_sum,
    r.postquant_sum_fp AS reported_sum, t.units AS sum_fp,
    r.residue_allocations AS reported_residue, c.residue_allocations AS residue,
    r.zero_weight_tiles AS reported_zeros, t.zeros
FROM (
    SELECT
        country_iso, count(*)::HUGEINT AS tiles, sum(weight_fp) AS units,
        count(*) FILTER (WHERE weight_fp = 0)::HUGEINT AS zeros
    FROM tile_weights
    GROUP BY country_iso
) AS t
LEFT JOIN weighed_countries AS c USING (country_iso)
FULL JOIN s2_run_report_by_country AS r USING (country_iso)
WHERE (r.tiles, r.mass_sum, r.postquant_sum_fp, r.residue_allocations, r.zero_weight_tiles)
      IS DISTINCT FROM (t.tiles, c.mass_sum::VARCHAR, t.units, c.residue_allocations, t.zeros)
ORDER BY 1
