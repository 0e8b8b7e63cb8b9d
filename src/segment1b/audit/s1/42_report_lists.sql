-- code: E108_WRITER_HYGIENE
-- scope: C
-- proves: widened countries and those without polygon or tiles are listed, and no others
-- needs: parameter_policy_1B
WITH polygons AS (SELECT DISTINCT country_iso FROM world_countries),
listed AS (SELECT DISTINCT country_iso, inclusion_rule FROM tile_index),
expected AS (
    SELECT 'widened_countries' AS field, country_iso
    FROM listed, run WHERE listed.inclusion_rule <> run.inclusion_rule
    UNION ALL
    SELECT 'countries_without_polygon', country_iso FROM iso3166_canonical_2024
    WHERE country_iso NOT IN (FROM polygons)
    UNION ALL
    SELECT 'countries_without_tiles', country_iso FROM polygons
    WHERE country_iso NOT IN (SELECT country_iso FROM listed)
),
found AS (
    SELECT 'widened_countries' AS field, country_iso FROM s1_run_report_widened_countries
    UNION ALL
    SELECT 'countries_without_polygon', country_iso
    FROM s1_run_report_countries_without_polygon
    UNION ALL
    SELECT 'countries_without_tiles', country_iso FROM s1_run_report_countries_without_tiles
)
SELECT
    field, country_iso, f.field IS NOT NULL AS in_report, e.field IS NOT NULL AS in_data
FROM found AS f
FULL JOIN expected AS e USING (field, country_iso)
WHERE f.field IS NULL OR e.field IS NULL
ORDER BY field, country_iso
