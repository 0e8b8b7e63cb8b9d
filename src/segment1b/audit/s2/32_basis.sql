-- code: E104_ZERO_MASS
-- scope: C
-- proves: a country without mass is weighed by area, any other by the policy's basis, as reported
SELECT
    w.country_iso, w.tiles, w.basis AS found,
    CASE WHEN c.zero_mass_fallback THEN 'area_m2' ELSE run.basis END AS expected,
    r.zero_mass_fallback AS reported_fallback, c.zero_mass_fallback AS expected_fallback
FROM (
    SELECT country_iso, basis, count(*) AS tiles FROM tile_weights GROUP BY country_iso, basis
) AS w
JOIN weighed_countries AS c USING (country_iso)
CROSS JOIN run
LEFT JOIN s2_run_report_by_country AS r USING (country_iso)
WHERE w.basis <> CASE WHEN c.zero_mass_fallback THEN 'area_m2' ELSE run.basis END
   OR r.zero_mass_fallback IS DISTINCT FROM c.zero_mass_fallback
ORDER BY w.country_iso
