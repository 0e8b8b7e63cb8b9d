-- code: E515_RUN_REPORT_MISSING_FIELDS
-- scope: R
-- proves: sites of S5, S6 and S7, and how many of them passed each test, are as reported
-- needs: s5_site_tile_assignment, s6_site_jitter, s7_site_synthesis, unknown_tiles, outside_sites,
--   uncatalogued_sites, s7_run_report
WITH counted AS (
    SELECT
        (SELECT count(*) FROM s5_site_tile_assignment)::HUGEINT AS s5,
        (SELECT count(*) FROM s6_site_jitter)::HUGEINT AS s6,
        (SELECT count(*) FROM s7_site_synthesis)::HUGEINT AS s7,
        (SELECT coalesce(sum(n), 0) FROM unknown_tiles)::HUGEINT AS unknown,
        (SELECT count(*) FROM outside_sites)::HUGEINT AS outside,
        (SELECT count(*) FROM uncatalogued_sites)::HUGEINT AS uncatalogued
),
expected AS (
    UNPIVOT (
        SELECT
            s7 AS rows_emitted, s5 AS sites_total_s5, s6 AS sites_total_s6, s7 AS sites_total_s7,
            s7 - unknown AS fk_tile_ok_count, unknown AS fk_tile_fail_count,
            s7 - unknown - outside AS inside_pixel_ok_count,
            unknown + outside AS inside_pixel_fail_count,
            s7 - uncatalogued AS coverage_1a_ok_count
        FROM counted
    ) ON COLUMNS(*) INTO NAME field VALUE expected
),
found AS (
    UNPIVOT (
        SELECT
            rows_emitted, sites_total_s5, sites_total_s6, sites_total_s7, fk_tile_ok_count,
            fk_tile_fail_count, inside_pixel_ok_count, inside_pixel_fail_count,
            coverage_1a_ok_count
        FROM s7_run_report
    ) ON COLUMNS(*) INTO NAME field VALUE found
)
SELECT field, found, expected
FROM found
JOIN expected USING (field)
WHERE found <> expected
ORDER BY field
