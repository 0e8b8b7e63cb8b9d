-- code: E515_RUN_REPORT_MISSING_FIELDS
-- scope: R
-- proves: sites of S5, S6 and S7, and how many of them passed each test, are as reported
-- needs: s5_site_tile_assignment, s6_site_jitter, s7_site_synthesis, unknown_tiles, outside_sites,
--   uncatalogued_sites, s7_run_report
SELECT t.*
FROM s7_run_report AS r, (
    SELECT
        (SELECT count(*) FROM s5_site_tile_assignment)::HUGEINT AS s5,
        (SELECT count(*) FROM s6_site_jitter)::HUGEINT AS s6,
        (SELECT count(*) FROM s7_site_synthesis)::HUGEINT AS s7,
        (SELECT coalesce(sum(n), 0) FROM unknown_tiles)::HUGEINT AS unknown,
        (SELECT count(*) FROM outside_sites)::HUGEINT AS outside,
        (SELECT count(*) FROM uncatalogued_sites)::HUGEINT AS uncatalogued
), (VALUES
    ('rows_emitted', r.rows_emitted, s7),
    ('sites_total_s5', r.sites_total_s5, s5),
    ('sites_total_s6', r.sites_total_s6, s6),
    ('sites_total_s7', r.sites_total_s7, s7),
    ('fk_tile_ok_count', r.fk_tile_ok_count, s7 - unknown),
    ('fk_tile_fail_count', r.fk_tile_fail_count, unknown),
    ('inside_pixel_ok_count', r.inside_pixel_ok_count, s7 - unknown - outside),
    ('inside_pixel_fail_count', r.inside_pixel_fail_count, unknown + outside),
    ('coverage_1a_ok_count', r.coverage_1a_ok_count, s7 - uncatalogued)
) AS t(field, found, expected)
WHERE found <> expected
ORDER BY field
