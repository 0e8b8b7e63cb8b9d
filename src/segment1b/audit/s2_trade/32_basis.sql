-- code: E104_ZERO_MASS
-- scope: C
-- proves: a country without people is weighed by area, any other by the mixture, as reported
SELECT
    w.country_iso, w.tiles, w.basis AS found,
    CASE WHEN p.empty THEN 'area_m2' ELSE 'population' END AS expected,
    r.zero_mass_fallback AS reported_fallback, p.empty AS expected_fallback
FROM (
    SELECT country_iso, basis, count(*) AS tiles FROM trade_weights GROUP BY country_iso, basis
) AS w
JOIN country_percents AS p USING (country_iso)
LEFT JOIN s2_trade_run_report_by_country AS r USING (country_iso)
WHERE w.basis <> CASE WHEN p.empty THEN 'area_m2' ELSE 'population' END
   OR r.zero_mass_fallback IS DISTINCT FROM p.empty
ORDER BY w.country_iso
