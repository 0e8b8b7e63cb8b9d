-- code: E105_NORMALIZATION
-- scope: C
-- proves: the percents of each country are the trade's, less what few urban people and empty layers
--   cost
WITH counted AS (
    SELECT country_iso, population, area, urban, urban_people, roads FROM country_percents
)
FROM countries_differ('s2_trade_run_report_by_country', 'counted')
