-- code: E515_RUN_REPORT_MISSING_FIELDS
-- scope: R
-- proves: sites of S5, S6 and S7, and what was tested of them, are as reported
-- needs: s5_site_tile_assignment, s6_site_jitter, s7_site_synthesis, s7_run_report
WITH found AS (
    UNPIVOT (
        SELECT
            rows_emitted, sites_total_s5, sites_total_s6, sites_total_s7, fk_tile_ok_count,
            inside_pixel_ok_count, coverage_1a_ok_count
        FROM s7_run_report
    ) ON COLUMNS(*) INTO NAME field VALUE found
),
counted AS (
    SELECT
        (SELECT count(*) FROM s5_site_tile_assignment)::HUGEINT AS s5,
        (SELECT count(*) FROM s6_site_jitter)::HUGEINT AS s6,
        (SELECT count(*) FROM s7_site_synthesis)::HUGEINT AS s7
)
SELECT field, found, CASE field WHEN 'sites_total_s5' THEN s5 WHEN 'sites_total_s6' THEN s6 ELSE s7
    END AS expected
FROM found, counted
WHERE found <> CASE field WHEN 'sites_total_s5' THEN s5 WHEN 'sites_total_s6' THEN s6 ELSE s7 END
ORDER BY field
