-- code: E515_RUN_REPORT_MISSING_FIELDS
-- scope: C
-- proves: sites, distinct tiles and sites inside their tile of each country are as reported
WITH failed AS (
    SELECT legal_country_iso, sum(n) AS failures
    FROM (
        SELECT legal_country_iso, n FROM unknown_tiles
        UNION ALL
        SELECT legal_country_iso, 1 FROM outside_sites
    )
    GROUP BY legal_country_iso
),
counted AS (
    SELECT
        legal_country_iso AS country_iso, count(*) AS sites,
        coalesce(any_value(t.tiles), 0) AS tiles,
        count(*) - coalesce(any_value(failures), 0) AS inside
    FROM s7_site_synthesis
    LEFT JOIN failed USING (legal_country_iso)
    LEFT JOIN tile_counts AS t ON t.country_iso = legal_country_iso
    GROUP BY legal_country_iso
)
FROM countries_differ('s7_run_report_by_country', 'counted')
