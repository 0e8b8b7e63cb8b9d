-- code: E108_WRITER_HYGIENE
-- scope: C
-- proves: each country's tiles, first and last tile_id and sum of visited cells are as reported
WITH tiles AS (
    SELECT
        country_iso, count(*) AS cells_included,
        min(tile_id) AS tile_id_min, max(tile_id) AS tile_id_max
    FROM tile_index
    GROUP BY country_iso
),
counted AS (
    SELECT
        tiles.*,
        r.cells_included + r.cells_excluded_outside + r.cells_excluded_hole AS cells_visited
    FROM tiles
    LEFT JOIN s1_run_report_by_country AS r USING (country_iso)
)
FROM countries_differ('s1_run_report_by_country', 'counted')
