-- code: E515_RUN_REPORT_MISSING_FIELDS
-- scope: R
-- proves: sites of S5, S6 and S7, and how many of them passed each test, are as reported
WITH rows AS (
    SELECT
        (SELECT count(*) FROM s5_site_tile_assignment) AS s5,
        (SELECT count(*) FROM s6_site_jitter) AS s6,
        (SELECT count(*) FROM s7_site_synthesis) AS s7,
        (SELECT coalesce(sum(n), 0) FROM unknown_tiles) AS unknown,
        (SELECT count(*) FROM outside_sites) AS outside,
        (SELECT count(*) FROM uncatalogued_sites) AS uncatalogued
),
counted AS (
    SELECT
        s7 AS rows_emitted, s5 AS sites_total_s5, s6 AS sites_total_s6, s7 AS sites_total_s7,
        unknown AS fk_tile_fail_count, s7 - unknown AS fk_tile_ok_count,
        unknown + outside AS inside_pixel_fail_count,
        s7 - unknown - outside AS inside_pixel_ok_count,
        s7 - uncatalogued AS coverage_1a_ok_count
    FROM rows
)
FROM totals_differ('s7_run_report', 'counted')
