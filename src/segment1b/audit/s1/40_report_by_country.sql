-- code: E108_WRITER_HYGIENE
-- scope: C
-- proves: each country's tiles, first and last tile_id and sum of visited cells are as reported
-- needs: tile_index, s1_run_report
SELECT
    country_iso,
    r.cells_included AS reported_tiles, t.tiles AS counted_tiles,
    r.tile_id_min AS reported_min, t.tile_id_min AS counted_min,
    r.tile_id_max AS reported_max, t.tile_id_max AS counted_max,
    r.cells_visited AS reported_visited,
    r.cells_included + r.cells_excluded_outside + r.cells_excluded_hole AS sum_of_parts
FROM (
    SELECT
        country_iso, count(*) AS tiles, min(tile_id) AS tile_id_min, max(tile_id) AS tile_id_max
    FROM tile_index
    GROUP BY country_iso
) AS t
FULL JOIN s1_run_report_by_country AS r USING (country_iso)
WHERE (r.cells_included, r.tile_id_min, r.tile_id_max)
      IS DISTINCT FROM (t.tiles, t.tile_id_min, t.tile_id_max)
   OR r.cells_visited IS DISTINCT FROM sum_of_parts
ORDER BY 1
