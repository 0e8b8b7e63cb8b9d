-- code: E515_RUN_REPORT_MISSING_FIELDS
-- scope: C
-- proves: sites, distinct tiles and sites inside their tile of each country are as reported
-- needs: s7_site_synthesis, unknown_tiles, outside_sites, s7_run_report
WITH failed AS (
    SELECT legal_country_iso AS country_iso, sum(n)::HUGEINT AS failures
    FROM (
        SELECT legal_country_iso, n FROM unknown_tiles
        UNION ALL
        SELECT legal_country_iso, 1 FROM outside_sites
    )
    GROUP BY legal_country_iso
),
counted AS (
    SELECT
        legal_country_iso AS country_iso, count(*)::HUGEINT AS sites,
        count(DISTINCT tile_id)::HUGEINT AS tiles
    FROM s7_site_synthesis
    GROUP BY legal_country_iso
)
SELECT
    country_iso, r.sites AS found, c.sites AS expected,
    r.tiles AS found_tiles, c.tiles AS expected_tiles,
    r.inside AS found_inside, c.sites - coalesce(failures, 0) AS expected_inside
FROM s7_run_report_by_country AS r
FULL JOIN counted AS c USING (country_iso)
LEFT JOIN failed USING (country_iso)
WHERE (r.sites, r.tiles, r.inside) IS DISTINCT FROM (c.sites, c.tiles, expected_inside)
ORDER BY 1
